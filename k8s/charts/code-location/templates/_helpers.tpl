{{- define "location.name" -}}
{{ .Values.location | default .Release.Name }}
{{- end }}

{{- define "location.selector" -}}
app.kubernetes.io/part-of: satfields
app.kubernetes.io/name: satfields-{{ include "location.name" . }}
app.kubernetes.io/component: code-location
{{- end }}

{{- define "location.labels" -}}
{{ include "location.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "location.image" -}}
{{ .Values.image.repository | default (printf "satfields/%s" (include "location.name" .)) }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "location.module" -}}
{{ .Values.module | default (printf "satfields_%s.definitions" (include "location.name" . | replace "-" "_")) }}
{{- end }}

{{- define "location.volumes" -}}
- name: tmp
  emptyDir: {}
- name: algorithms
  configMap: {name: {{ .Values.algorithms }}, optional: true}
{{- with .Values.volume.claim }}
- name: objects
  persistentVolumeClaim: {claimName: {{ . }}}
{{- end }}
{{- if .Values.secrets.asFiles }}
{{- range $name := list "ledger" "dagster" }}
{{- with get $.Values.secrets $name }}
- name: {{ $name }}-secret
  secret: {secretName: {{ . }}, defaultMode: 288} # 0440
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.databaseCA.configMap }}
- name: database-ca
  configMap: {name: {{ .Values.databaseCA.configMap }}}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "location.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: algorithms, mountPath: /etc/satfields, readOnly: true}
{{- if .Values.volume.claim }}
- {name: objects, mountPath: {{ .Values.volume.mountPath }}}
{{- end }}
{{- if .Values.secrets.asFiles }}
{{- range $name := list "ledger" "dagster" }}
{{- if get $.Values.secrets $name }}
- {name: {{ $name }}-secret, mountPath: /etc/satfields-secrets/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.databaseCA.configMap }}
- {name: database-ca, mountPath: /etc/satfields-database, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "location.env" -}}
{{- if .Values.secrets.asFiles }}
- {name: SATFIELDS_DATABASE_URL_FILE, value: /etc/satfields-secrets/ledger/SATFIELDS_DATABASE_URL}
{{- if .Values.secrets.dagster }}
- {name: DAGSTER_POSTGRES_URL_FILE, value: /etc/satfields-secrets/dagster/DAGSTER_POSTGRES_URL}
{{- end }}
{{- end }}
{{- if .Values.databaseCA.configMap }}
- {name: PGSSLROOTCERT, value: /etc/satfields-database/{{ .Values.databaseCA.key }}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The start of a command that needs DAGSTER_POSTGRES_URL, where that is in a file: Dagster's configuration names a variable. */}}
{{- define "location.dagsterCommand" -}}
{{- if and .Values.secrets.asFiles .Values.secrets.dagster -}}
["sh", "-c", "DAGSTER_POSTGRES_URL=\"$(cat \"$DAGSTER_POSTGRES_URL_FILE\")\" && export DAGSTER_POSTGRES_URL && unset DAGSTER_POSTGRES_URL_FILE && exec \"$@\"", "sh"]
{{- end }}
{{- end }}

{{/* A digest of the settings and algorithms that the cluster holds now: pods read them when they start, so that other ones
are other servers. Nothing where the cluster is not asked (`helm template`). */}}
{{- define "location.settings" -}}
{{- $found := list -}}
{{- range $name := list .Values.settings .Values.algorithms -}}
{{- $found = append $found (dig "data" dict (lookup "v1" "ConfigMap" $.Release.Namespace $name)) -}}
{{- end -}}
{{ toJson $found | sha256sum }}
{{- end }}

{{/* What this location's runs have besides what the platform's launcher gives to all: its container context. */}}
{{- define "location.context" -}}
{{- $container := dict "resources" .Values.runs.resources -}}
{{- $context := dict "run_k8s_config" (dict "container_config" $container) -}}
{{- if .Values.runs.withEnvironment -}}
{{- $_ := set $context "env_config_maps" (list .Values.settings) -}}
{{- if not .Values.secrets.asFiles }}{{- $_ := set $context "env_secrets" (compact (list .Values.secrets.ledger .Values.secrets.dagster)) -}}{{- end -}}
{{- with include "location.dagsterCommand" . }}{{- $_ := set $container "command" (fromJsonArray .) -}}{{- end -}}
{{- $_ := set $context "volumes" (include "location.volumes" . | fromYamlArray) -}}
{{- $_ := set $context "volume_mounts" (include "location.mounts" . | fromYamlArray) -}}
{{- with include "location.env" . }}{{- $_ := set $container "env" (fromYamlArray .) -}}{{- end -}}
{{- with .Values.imagePullSecrets }}{{- $_ := set $context "image_pull_secrets" . -}}{{- end -}}
{{- end -}}
{{ dict "k8s" $context | toJson }}
{{- end }}

{{/* Restricted, for a container; and the end of its log is what `kubectl describe pod` shows of its end. */}}
{{- define "location.containerSecurity" -}}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "location.envFrom" -}}
- configMapRef: {name: {{ .Values.settings }}}
{{- if not .Values.secrets.asFiles }}
- secretRef: {name: {{ .Values.secrets.ledger }}}
{{- with .Values.secrets.dagster }}
- secretRef: {name: {{ . }}}
{{- end }}
{{- end }}
{{- end }}
