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

{{/* Environment, mounts and volumes of whatever works on the ledger: runs and satctl here, code servers in their chart. */}}
{{- define "satfields.ledgerEnvFrom" -}}
- configMapRef: {name: satfields-settings}
- secretRef: {name: {{ .Values.secrets.ledger }}}
{{- if .Values.dagster.enabled }}
- secretRef: {name: {{ .Values.secrets.dagster }}}
{{- end }}
{{- end }}

{{- define "satfields.ledgerMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: algorithms, mountPath: /etc/satfields, readOnly: true}
{{- if .Values.volume.enabled }}
- {name: objects, mountPath: {{ .Values.volume.mountPath }}}
{{- end }}
{{- include "satfields.extraMounts" . }}
{{- end }}

{{- define "satfields.ledgerVolumes" -}}
- name: tmp
  emptyDir: {}
- name: algorithms
  configMap: {name: satfields-algorithms}
{{- if .Values.volume.enabled }}
- name: objects
  persistentVolumeClaim: {claimName: satfields-objects}
{{- end }}
{{- include "satfields.extraVolumes" . }}
{{- end }}

{{/* Waits until Dagster's database answers, so that a start beside it is no crash; call with $. */}}
{{- define "satfields.waitForDatabase" -}}
- name: wait-for-database
  image: {{ include "satfields.image" (list . .Values.image) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command:
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
  {{- with include "satfields.env" . }}
  env:
    {{- . | nindent 4 }}
  {{- end }}
  envFrom:
    - secretRef: {name: {{ .Values.secrets.dagster }}}
  {{- include "satfields.containerSecurity" . | nindent 2 }}
  resources:
    requests: {cpu: 10m, memory: 64Mi}
    limits: {memory: 128Mi}
  {{- with include "satfields.extraMounts" . }}
  volumeMounts:
    {{- . | nindent 4 }}
  {{- end }}
{{- end }}
