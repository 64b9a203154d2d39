{{/*
usher as a native sidecar: an item of a pod's `initContainers`. From the chart of an app that has usher among its dependencies:

  initContainers:
    {{- include "usher.sidecar" .Subcharts.usher | nindent 8 }}

Beside it go `usher.sidecar.volumes` and, so that usher may write its store, `fsGroup: 65532` in the pod's securityContext.
*/}}
{{- define "usher.sidecar" -}}
{{- include "usher.validate" . -}}
- name: usher
  restartPolicy: Always
{{- include "usher.container" . | nindent 2 }}
{{- end -}}

{{/* What usher needs among a pod's `volumes`. */}}
{{- define "usher.sidecar.volumes" -}}
- name: usher-config
  configMap:
    name: {{ include "usher.configMapName" . }}
{{- if .Values.persistence.enabled }}
- name: usher-state
  persistentVolumeClaim:
    claimName: {{ include "usher.claimName" . }}
{{- end }}
{{- with .Values.certificateAuthority }}
{{- if .existingConfigMap }}
- name: usher-ca
  configMap:
    name: {{ .existingConfigMap }}
{{- else if .existingSecret }}
- name: usher-ca
  secret:
    secretName: {{ .existingSecret }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* For a pod's annotations: another config, another pod. usher loads a changed ConfigMap by itself, but not a listener or a store. */}}
{{- define "usher.sidecar.annotations" -}}
{{- if not .Values.config.existingConfig -}}
checksum/config: {{ include "usher.config" . | sha256sum }}
{{- end }}
{{- end -}}

{{- define "usher.probe" -}}
{{ toYaml (omit .probe "enabled") }}
httpGet:
  path: {{ .path }}
  port: usher-metrics
{{- end -}}

{{- define "usher.container" -}}
image: {{ include "usher.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - run
  - --config=/etc/usher/usher.yaml
  {{- with .Values.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $authority := or .Values.certificateAuthority.existingConfigMap .Values.certificateAuthority.existingSecret }}
{{- if or .Values.extraEnv $authority }}
env:
  {{- if $authority }}
  - name: SSL_CERT_FILE
    value: {{ printf "/etc/usher-ca/%s" .Values.certificateAuthority.key }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- if or .Values.existingSecret .Values.envFrom }}
envFrom:
  {{- with .Values.existingSecret }}
  - secretRef:
      name: {{ . }}
  {{- end }}
  {{- with .Values.envFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
ports:
  - name: usher
    containerPort: {{ include "usher.port.http" . }}
    protocol: TCP
  - name: usher-metrics
    containerPort: {{ include "usher.port.metrics" . }}
    protocol: TCP
  {{- if .Values.admin.service.enabled }}
  - name: usher-admin
    containerPort: {{ include "usher.port.admin" . }}
    protocol: TCP
  {{- end }}
{{- if .Values.startupProbe.enabled }}
startupProbe:
  {{- include "usher.probe" (dict "probe" .Values.startupProbe "path" "/readyz") | nindent 2 }}
{{- end }}
{{- if .Values.livenessProbe.enabled }}
livenessProbe:
  {{- include "usher.probe" (dict "probe" .Values.livenessProbe "path" "/healthz") | nindent 2 }}
{{- end }}
{{- if .Values.readinessProbe.enabled }}
readinessProbe:
  {{- include "usher.probe" (dict "probe" .Values.readinessProbe "path" "/readyz") | nindent 2 }}
{{- end }}
{{- with .Values.lifecycle }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  # The folder, not a file of it: a changed ConfigMap reaches usher, which loads it anew.
  - name: usher-config
    mountPath: /etc/usher
    readOnly: true
  {{- if .Values.persistence.enabled }}
  - name: usher-state
    mountPath: /var/lib/usher
  {{- end }}
  {{- if $authority }}
  - name: usher-ca
    mountPath: /etc/usher-ca
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
