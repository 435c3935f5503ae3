{{- define "api.selector" -}}
app.kubernetes.io/part-of: satfields
app.kubernetes.io/name: satfields-api
app.kubernetes.io/component: api
{{- end }}

{{- define "api.labels" -}}
{{ include "api.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* A digest of the settings that the cluster holds now: pods read them when they start. */}}
{{- define "api.settings" -}}
{{- $found := list -}}
{{- range $name := list .Values.settings .Values.algorithms -}}
{{- $found = append $found (dig "data" dict (lookup "v1" "ConfigMap" $.Release.Namespace $name)) -}}
{{- end -}}
{{ toJson $found | sha256sum }}
{{- end }}
