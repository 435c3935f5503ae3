{{/* Labels of everything; call with (list $ "component"). */}}
{{- define "satfields.labels" -}}
{{- $root := index . 0 -}}
{{ include "satfields.selector" . }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- end }}

{{- define "satfields.selector" -}}
app.kubernetes.io/part-of: satfields
app.kubernetes.io/name: satfields-{{ index . 1 }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* An image's name; call with (list $ .Values.image). */}}
{{- define "satfields.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{ $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end }}

{{/* The restricted Pod Security standard, for a pod; call with a user's id. */}}
{{- define "satfields.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* The same, for a container; and the end of its log is what `kubectl describe pod` shows of its end. */}}
{{- define "satfields.containerSecurity" -}}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "satfields.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The PriorityClass of runs: this namespace's own, or one that is there. */}}
{{- define "satfields.runPriority" -}}
{{- .Values.runs.priorityClass.name | default (ternary (printf "satfields-runs-%s" .Release.Namespace) "" .Values.runs.priorityClass.create) -}}
{{- end }}

{{/* The same of what runs wait for; and the line of a pod that names it. A hook has none: it may come before the class. */}}
{{- define "satfields.controlPriority" -}}
{{- .Values.priorityClass.name | default (ternary (printf "satfields-control-%s" .Release.Namespace) "" .Values.priorityClass.create) -}}
{{- end }}

{{- define "satfields.priority" -}}
{{- with include "satfields.controlPriority" . }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Pods of a Deployment on different nodes, where there are some; call with (list $ "component"). */}}
{{- define "satfields.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "satfields.selector" . | nindent 8 }}
{{- end }}

{{/* Variables, mounts and volumes that values add to every pod but PostgreSQL's own; the first is empty where there are none. */}}
{{- define "satfields.env" -}}
{{- if .Values.databaseCA.configMap }}
- {name: PGSSLROOTCERT, value: /etc/satfields-database/{{ .Values.databaseCA.key }}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "satfields.extraMounts" -}}
{{- if .Values.databaseCA.configMap }}
- {name: database-ca, mountPath: /etc/satfields-database, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "satfields.extraVolumes" -}}
{{- if .Values.databaseCA.configMap }}
- name: database-ca
  configMap: {name: {{ .Values.databaseCA.configMap }}}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Annotations that values give to every pod but PostgreSQL's. */}}
{{- define "satfields.podAnnotations" -}}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The Secrets of a pod, as variables or as files; call with (list $ "ledger" "dagster"), or one of these. The environment
has their sources, or the paths of the files. */}}
{{- define "satfields.secretEnvFrom" -}}
{{- $root := index . 0 -}}
{{- range $name := rest . }}
{{- if not $root.Values.secrets.asFiles }}
- secretRef: {name: {{ get $root.Values.secrets $name }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "satfields.secretEnv" -}}
{{- $root := index . 0 -}}
{{- range $name := rest . }}
{{- if $root.Values.secrets.asFiles }}
{{- $variable := eq $name "ledger" | ternary "SATFIELDS_DATABASE_URL" "DAGSTER_POSTGRES_URL" }}
- {name: {{ $variable }}_FILE, value: /etc/satfields-secrets/{{ $name }}/{{ $variable }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "satfields.secretMounts" -}}
{{- $root := index . 0 -}}
{{- range $name := rest . }}
{{- if $root.Values.secrets.asFiles }}
- {name: {{ $name }}-secret, mountPath: /etc/satfields-secrets/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "satfields.secretVolumes" -}}
{{- $root := index . 0 -}}
{{- range $name := rest . }}
{{- if $root.Values.secrets.asFiles }}
- name: {{ $name }}-secret
  secret: {secretName: {{ get $root.Values.secrets $name }}, defaultMode: 288} # 0440
{{- end }}
{{- end }}
{{- end }}

{{/* The start of a command that needs DAGSTER_POSTGRES_URL: Dagster's configuration can name a variable, and no file. */}}
{{- define "satfields.dagsterCommand" -}}
[sh, -c, 'DAGSTER_POSTGRES_URL="$(cat "$DAGSTER_POSTGRES_URL_FILE")" && export DAGSTER_POSTGRES_URL && unset DAGSTER_POSTGRES_URL_FILE && exec "$@"', sh]
{{- end }}

{{- define "satfields.ledgerSecrets" -}}
{{ .Values.dagster.enabled | ternary (list "ledger" "dagster") (list "ledger") | toJson }}
{{- end }}

{{/* Environment, mounts and volumes of whatever works on the ledger: runs and satctl here, code servers in their chart. */}}
{{- define "satfields.ledgerEnvFrom" -}}
- configMapRef: {name: satfields-settings}
{{- include "satfields.secretEnvFrom" (prepend (include "satfields.ledgerSecrets" . | fromJsonArray) .) }}
{{- end }}

{{- define "satfields.ledgerEnv" -}}
{{- include "satfields.secretEnv" (prepend (include "satfields.ledgerSecrets" . | fromJsonArray) .) }}
{{- include "satfields.env" . }}
{{- end }}

{{- define "satfields.ledgerMounts" -}}
{{- include "satfields.mountsOf" (prepend (include "satfields.ledgerSecrets" . | fromJsonArray) .) }}
{{- end }}

{{- define "satfields.ledgerVolumes" -}}
{{- include "satfields.volumesOf" (prepend (include "satfields.ledgerSecrets" . | fromJsonArray) .) }}
{{- end }}

{{/* The same with the secrets of the names; call with (list $ "name" ...). */}}
{{- define "satfields.mountsOf" -}}
{{- $secrets := rest . -}}
{{- with index . 0 }}
- {name: tmp, mountPath: /tmp}
- {name: algorithms, mountPath: /etc/satfields, readOnly: true}
{{- if .Values.volume.enabled }}
- {name: objects, mountPath: {{ .Values.volume.mountPath }}}
{{- end }}
{{- include "satfields.secretMounts" (prepend $secrets .) }}
{{- include "satfields.extraMounts" . }}
{{- end }}
{{- end }}

{{- define "satfields.volumesOf" -}}
{{- $secrets := rest . -}}
{{- with index . 0 }}
- name: tmp
  emptyDir: {}
- name: algorithms
  configMap: {name: satfields-algorithms}
{{- if .Values.volume.enabled }}
- name: objects
  persistentVolumeClaim: {claimName: satfields-objects}
{{- end }}
{{- include "satfields.secretVolumes" (prepend $secrets .) }}
{{- include "satfields.extraVolumes" . }}
{{- end }}
{{- end }}

{{/* Waits until Dagster's database answers, so that a start beside it is no crash; call with $. */}}
{{- define "satfields.waitForDatabase" -}}
- name: wait-for-database
  image: {{ include "satfields.image" (list . .Values.image) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if .Values.secrets.asFiles }}
  command: {{ include "satfields.dagsterCommand" . }}
  args:
  {{- else }}
  command:
  {{- end }}
    - python
    - -c
    - |
      import os, sys, time
      import psycopg2
      end = time.monotonic() + 120
      while True:
          try:
              psycopg2.connect(os.environ["DAGSTER_POSTGRES_URL"], connect_timeout=5).close()
              break
          except psycopg2.OperationalError as error:
              if time.monotonic() > end:
                  sys.exit(f"DAGSTER_POSTGRES_URL (Secret {{ .Values.secrets.dagster }}): {error}")
              print(f"waiting: {error}", flush=True)
              time.sleep(2)
  {{- with print (include "satfields.secretEnv" (list . "dagster")) (include "satfields.env" .) }}
  env:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with include "satfields.secretEnvFrom" (list . "dagster") }}
  envFrom:
    {{- . | nindent 4 }}
  {{- end }}
  {{- include "satfields.containerSecurity" . | nindent 2 }}
  resources:
    requests: {cpu: 10m, memory: 64Mi}
    limits: {memory: 128Mi}
  {{- with print (include "satfields.secretMounts" (list . "dagster")) (include "satfields.extraMounts" .) }}
  volumeMounts:
    {{- . | nindent 4 }}
  {{- end }}
{{- end }}
