{{- define "usher.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 50 characters leave room for what is appended: `-metrics`, `-dashboard`. */}}
{{- define "usher.fullname" -}}
{{- $name := include "usher.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "usher.selectorLabels" -}}
app.kubernetes.io/name: {{ include "usher.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "usher.testLabels" -}}
app.kubernetes.io/name: {{ include "usher.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "usher.labels" -}}
{{ include "usher.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The pods that usher runs in: its own, or the app's. */}}
{{- define "usher.podSelector" -}}
{{- if and (eq .Values.mode "sidecar") (not .Values.sidecar.workload.enabled) -}}
{{ toYaml .Values.sidecar.podLabels }}
{{- else -}}
{{ include "usher.selectorLabels" . }}
{{- end -}}
{{- end -}}

{{- define "usher.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "usher.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "usher.image" -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}
{{- end -}}

{{- define "usher.claimName" -}}
{{- .Values.persistence.existingClaim | default (include "usher.fullname" .) -}}
{{- end -}}

{{/* The name of what leads to an app behind forward-auth, by its host. */}}
{{- define "usher.routeName" -}}
{{- printf "%s-%s" (include "usher.fullname" .root) (.app.host | replace "*" "any" | replace "." "-" | lower) -}}
{{- end -}}

{{- define "usher.address" -}}
{{- $scheme := ternary "https" "http" (eq (include "usher.tls" .) "true") -}}
{{ printf "%s://%s.%s.svc.%s:%v" $scheme (include "usher.fullname" .) .Release.Namespace .Values.clusterDomain .Values.service.port }}
{{- end -}}
