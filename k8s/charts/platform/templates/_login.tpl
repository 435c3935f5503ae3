{{/* oauth2-proxy beside a UI: who comes by it has logged in; call with (list $ the UI's values). */}}
{{- define "satfields.login" -}}
{{- $root := index . 0 -}}
{{- $ui := index . 1 -}}
{{- $login := $root.Values.login -}}
- name: login
  image: {{ include "satfields.image" (list $root $login.image) }}
  imagePullPolicy: {{ $login.image.pullPolicy }}
  args:
    - --provider=oidc
    - --oidc-issuer-url={{ $login.issuer }}
    - --redirect-url=https://{{ $ui.host }}/oauth2/callback
    - --upstream=http://127.0.0.1:3000
    - --http-address=0.0.0.0:4180
    - --reverse-proxy=true # TLS ends before it
    - --code-challenge-method=S256
    - --skip-provider-button=true
    - --api-route=^/graphql # 401 there, which the UI understands, and no page to log in
    - --silence-ping-logging=true
    {{- range $login.emailDomains | default (list "*") }}
    - --email-domain={{ . }}
    {{- end }}
    {{- range $ui.groups }}
    - --allowed-group={{ . }}
    {{- end }}
    {{- with $login.extraArgs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  envFrom:
    - secretRef: {name: {{ $login.secret }}}
  ports:
    - {name: login, containerPort: 4180, protocol: TCP}
  {{- include "satfields.containerSecurity" $root | nindent 2 }}
  {{- range $probe, $times := dict "startupProbe" (dict "periodSeconds" 2 "failureThreshold" 60) "readinessProbe" (dict "periodSeconds" 10) "livenessProbe" (dict "periodSeconds" 30 "failureThreshold" 4) }}
  {{ $probe }}:
    httpGet: {path: {{ eq $probe "readinessProbe" | ternary "/ready" "/ping" }}, port: login}
    timeoutSeconds: 5
    {{- toYaml $times | nindent 4 }}
  {{- end }}
  resources:
    {{- toYaml $login.resources | nindent 4 }}
{{- end }}

{{/* The UIs that have a host name, by name. */}}
{{- define "satfields.uis" -}}
{{- $uis := dict -}}
{{- range $name := list "webserver" "viewer" -}}
{{- $ui := get $.Values $name -}}
{{- if and $ui.host (or (eq $name "webserver") $ui.enabled) -}}
{{- $_ := set $uis $name $ui.host -}}
{{- end -}}
{{- end -}}
{{ toYaml $uis }}
{{- end }}
