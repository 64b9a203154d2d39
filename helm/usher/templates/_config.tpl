{{/* The config as usher reads it, with what the chart fills in. */}}
{{- define "usher.config" -}}
{{- $config := deepCopy (omit .Values.config "existingConfig") -}}
{{- $ports := .Values.containerPorts -}}
{{- if not (hasKey $config "listen") -}}
{{- $_ := set $config "listen" (printf "0.0.0.0:%v" $ports.http) -}}
{{- end -}}
{{- if not (hasKey $config "metrics") -}}
{{- $_ := set $config "metrics" (dict "listen" (printf "0.0.0.0:%v" $ports.metrics)) -}}
{{- end -}}
{{- if and (hasKey $config "admin") (not (hasKey $config.admin "listen")) -}}
{{- $host := ternary "0.0.0.0" "127.0.0.1" .Values.admin.service.enabled -}}
{{- $_ := set $config.admin "listen" (printf "%s:%v" $host $ports.admin) -}}
{{- end -}}
{{- if not (hasKey $config "store") -}}
{{- $_ := set $config "store" (ternary "sqlite:/var/lib/usher/usher.db" "memory" .Values.persistence.enabled) -}}
{{- end -}}
{{- /* A sidecar is told to stop once the app has ended: there is nothing to wait for. */ -}}
{{- if and (eq .Values.mode "sidecar") (not (hasKey ($config.timeouts | default dict) "linger")) -}}
{{- $_ := set $config "timeouts" (merge (dict "linger" "none") ($config.timeouts | default dict)) -}}
{{- end -}}
{{ toYaml $config }}
{{- end -}}

{{- define "usher.configMapName" -}}
{{- .Values.config.existingConfig | default (include "usher.fullname" .) -}}
{{- end -}}

{{/* `config.listen` as an address: it is text, or a mapping with TLS. */}}
{{- define "usher.listen" -}}
{{- $listen := .Values.config.listen | default "" -}}
{{- if kindIs "map" $listen -}}
{{- $listen.address | default "" -}}
{{- else -}}
{{- $listen -}}
{{- end -}}
{{- end -}}

{{- define "usher.tls" -}}
{{- and (kindIs "map" .Values.config.listen) (hasKey (.Values.config.listen | default dict) "tls") -}}
{{- end -}}

{{- define "usher.port.http" -}}
{{- regexFind "[0-9]+$" (include "usher.listen" .) | default .Values.containerPorts.http -}}
{{- end -}}

{{- define "usher.port.metrics" -}}
{{- regexFind "[0-9]+$" (dig "metrics" "listen" "" .Values.config) | default .Values.containerPorts.metrics -}}
{{- end -}}

{{- define "usher.port.admin" -}}
{{- regexFind "[0-9]+$" (dig "admin" "listen" "" .Values.config) | default .Values.containerPorts.admin -}}
{{- end -}}

{{- define "usher.prefix" -}}
{{- .Values.config.prefix | default "/_usher" | trimSuffix "/" -}}
{{- end -}}

{{/* The endpoints that gateways ask at, as JSON. */}}
{{- define "usher.questions" -}}
{{- $prefix := include "usher.prefix" . -}}
{{- list (printf "%s/auth" $prefix) (printf "%s/forward-auth" $prefix) (printf "%s/ext-authz" $prefix) | toJson -}}
{{- end -}}

{{/* Whether pods can share the store. SQLite and memory belong to one process. */}}
{{- define "usher.sharedStore" -}}
{{- $store := .Values.config.store | default "" -}}
{{- and (kindIs "string" $store) (regexMatch "^postgres(ql)?://" (toString $store)) -}}
{{- end -}}

{{/* The origins that people sign in at, as JSON. */}}
{{- define "usher.origins" -}}
{{- $origins := list -}}
{{- with .Values.config.public_url -}}
{{- $origins = append $origins (trimSuffix "/" .) -}}
{{- end -}}
{{- range .Values.config.apps -}}
{{- with .public_url -}}
{{- $origins = append $origins (trimSuffix "/" .) -}}
{{- end -}}
{{- end -}}
{{- uniq $origins | toJson -}}
{{- end -}}

{{/* The hosts that lead to usher, as JSON. */}}
{{- define "usher.hosts" -}}
{{- $hosts := list -}}
{{- range include "usher.origins" . | fromJsonArray -}}
{{- $hosts = append $hosts (get (urlParse .) "hostname") -}}
{{- end -}}
{{- range .Values.config.apps -}}
{{- $hosts = concat $hosts (.hosts | default list) -}}
{{- end -}}
{{- range .Values.forwardAuth.apps -}}
{{- $hosts = append $hosts .host -}}
{{- end -}}
{{- uniq $hosts | toJson -}}
{{- end -}}

{{/* The names of the fields that each preset sends, as JSON; a test holds them against usher itself. */}}
{{- define "usher.presets" -}}
usher: [X-Forwarded-User, X-Forwarded-Email, X-Forwarded-Preferred-Username, X-Forwarded-Name, X-Forwarded-Groups, X-Forwarded-Roles, X-Forwarded-Account, X-Usher-Jwt]
oauth2-proxy: [X-Forwarded-User, X-Forwarded-Email, X-Forwarded-Preferred-Username, X-Forwarded-Groups, X-Auth-Request-User, X-Auth-Request-Email, X-Auth-Request-Preferred-Username, X-Auth-Request-Groups]
remote-user: [Remote-User, Remote-Groups, Remote-Name, Remote-Email]
grafana: [X-Webauth-User, X-Webauth-Email, X-Webauth-Name, X-Webauth-Role, X-Webauth-Groups]
grafana-jwt: [X-Jwt-Assertion]
gitea: [X-Webauth-User, X-Webauth-Email, X-Webauth-Fullname]
jenkins: [X-Forwarded-User, X-Forwarded-Mail, X-Forwarded-Displayname, X-Forwarded-Groups]
sonarqube: [X-Forwarded-Login, X-Forwarded-Name, X-Forwarded-Email, X-Forwarded-Groups]
opensearch: [X-Proxy-User, X-Proxy-Roles]
netbox: [Remote-User, Remote-User-Email, Remote-User-Group]
superset: [X-Remote-User]
paperless: [Remote-User]
miniflux: [Remote-User]
open-webui: [X-Forwarded-User, X-Forwarded-Email, X-Forwarded-Name, X-Forwarded-Groups, X-Forwarded-Role]
{{- end -}}

{{/* The names of the fields that a gateway copies from usher's answer to the request, as JSON. */}}
{{- define "usher.responseHeaders" -}}
{{- $presets := include "usher.presets" . | fromYaml -}}
{{- $names := .Values.forwardAuth.responseHeaders -}}
{{- if not $names -}}
{{- range .Values.config.apps -}}
{{- $headers := .headers | default dict -}}
{{- if $headers.map -}}
{{- $names = concat $names (keys $headers.map | sortAlpha) -}}
{{- else -}}
{{- $preset := $headers.preset | default "usher" -}}
{{- if not (hasKey $presets $preset) -}}
{{- fail (printf "\nusher: the chart does not know which fields the preset %q sends.\nWrite their names into forwardAuth.responseHeaders; docs/apps.md lists them." $preset) -}}
{{- end -}}
{{- $names = concat $names (get $presets $preset) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- uniq (append ($names | default $presets.usher) "X-Usher-Groups-Overage") | toJson -}}
{{- end -}}
