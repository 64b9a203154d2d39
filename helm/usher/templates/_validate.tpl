{{/* Values that cannot work are refused here, each with a sentence on what to write. */}}
{{- define "usher.validate" -}}
{{- if not (has .Values.mode (list "sidecar" "proxy" "forwardAuth")) -}}
{{- fail (printf "\nusher: mode is %q.\nWrite mode: sidecar (in the app's pod), proxy (in front of a Service) or forwardAuth (asked by an ingress)." (toString .Values.mode)) -}}
{{- end -}}
{{- if not .Values.image.repository -}}
{{- fail "\nusher: image.repository is not set.\nWrite where you keep usher's image, such as image.repository: registry.corp.example/usher." -}}
{{- end -}}
{{- include "usher.validate.config" . -}}
{{- include "usher.validate.replicas" . -}}
{{- include "usher.validate.exposed" . -}}
{{- if eq .Values.mode "sidecar" -}}
{{- include "usher.validate.sidecar" . -}}
{{- else if eq .Values.mode "proxy" -}}
{{- include "usher.validate.proxy" . -}}
{{- else -}}
{{- include "usher.validate.forwardAuth" . -}}
{{- end -}}
{{- include "usher.validate.routes" . -}}
{{- end -}}

{{- define "usher.validate.config" -}}
{{- $config := omit .Values.config "existingConfig" -}}
{{- if and .Values.config.existingConfig $config -}}
{{- fail (printf "\nusher: config.existingConfig and other keys of config are both set (%s).\nWrite the whole config in one of them: the ConfigMap %q, or here." (keys $config | sortAlpha | join ", ") .Values.config.existingConfig) -}}
{{- end -}}
{{- if not .Values.config.existingConfig -}}
{{- if not $config -}}
{{- fail "\nusher: there is no config.\nWrite config.public_url, config.identity_providers and config.apps, or name a ConfigMap with the key usher.yaml in config.existingConfig." -}}
{{- end -}}
{{- if not $config.public_url -}}
{{- fail "\nusher: config.public_url is not set.\nWrite what the browser sees, such as config.public_url: https://wiki.example. Cookies and redirect URIs come from it." -}}
{{- end -}}
{{- range $key := list "identity_providers" "apps" -}}
{{- if not (get $config $key) -}}
{{- fail (printf "\nusher: config.%s is empty.\nWrite at least one; docs/kubernetes.md has an example." $key) -}}
{{- end -}}
{{- end -}}
{{- range include "usher.origins" . | fromJsonArray -}}
{{- $url := urlParse . -}}
{{- if and (eq $url.scheme "http") (not (regexMatch "^(localhost|.*\\.localhost|127\\.[0-9.]+|\\[?::1\\]?)$" $url.hostname)) -}}
{{- fail (printf "\nusher: the public_url %s is plain http.\nWrite https://%s: it is what the browser sees, also where TLS ends at an ingress. Plain http works on localhost alone." . $url.host) -}}
{{- end -}}
{{- end -}}
{{- range $config.trusted_proxies -}}
{{- if regexMatch "^(0\\.0\\.0\\.0|::)(/0)?$" . -}}
{{- fail (printf "\nusher: config.trusted_proxies has %s, so everybody could say who and where they are, and which page is asked for.\nWrite the network of the ingress or gateway's pods, such as 10.244.0.0/16." .) -}}
{{- end -}}
{{- end -}}
{{- include "usher.validate.secrets" (dict "at" "config" "value" $config) -}}
{{- include "usher.validate.writable" (dict "root" . "key" "config.store" "file" (regexFind "^sqlite:.*" (toString $config.store) | trimPrefix "sqlite:")) -}}
{{- include "usher.validate.writable" (dict "root" . "key" "config.audit.file" "file" (dig "audit" "file" "" $config)) -}}
{{- end -}}
{{- end -}}

{{/* What is written into `config` lies in a ConfigMap, which no one keeps secret. */}}
{{- define "usher.validate.secrets" -}}
{{- $at := .at -}}
{{- if kindIs "map" .value -}}
{{- range $key, $value := .value -}}
{{- $secret := or (has $key (list "client_secret" "secret" "token" "seal")) (and (eq $key "key") (contains ".saml[" $at)) -}}
{{- range $one := ternary $value (list $value) (kindIs "slice" $value) -}}
{{- if and $secret (kindIs "string" $one) -}}
{{- fail (printf "\nusher: %s.%s is written as text, and would lie in a ConfigMap.\nWrite { env: NAME } and put NAME into the Secret that existingSecret names, or { file: /path } of a mounted Secret." $at $key) -}}
{{- end -}}
{{- end -}}
{{- $place := printf "%s.%s" $at $key -}}
{{- if and (has $place (list "config.mail" "config.mail.url")) (kindIs "string" $value) (regexMatch "^[a-z]+://[^/]*@" (toString $value)) -}}
{{- fail (printf "\nusher: %s is written as text with a password in it, and would lie in a ConfigMap.\nWrite url: { env: NAME } there and put NAME into the Secret that existingSecret names." $place) -}}
{{- end -}}
{{- include "usher.validate.secrets" (dict "at" $place "value" $value) -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- range $index, $value := .value -}}
{{- include "usher.validate.secrets" (dict "at" (printf "%s[%d]" $at $index) "value" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "usher.validate.writable" -}}
{{- if .file -}}
{{- $file := .file -}}
{{- $found := and .root.Values.persistence.enabled (hasPrefix "/var/lib/usher/" $file) -}}
{{- range .root.Values.extraVolumeMounts -}}
{{- $found = or $found (and (not .readOnly) (hasPrefix (printf "%s/" (trimSuffix "/" .mountPath)) $file)) -}}
{{- end -}}
{{- if not $found -}}
{{- fail (printf "\nusher: %s is %s, where nothing can be written: the container's disk is read-only.\nWrite a path below /var/lib/usher with persistence.enabled: true, or mount a volume there with extraVolumes and extraVolumeMounts." .key $file) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "usher.validate.replicas" -}}
{{- $why := "SQLite and memory belong to one pod: another would not know who is signed in, nor whose account there is" -}}
{{- if .Values.config.existingConfig -}}
{{- $why = "the chart cannot see in config.existingConfig that pods share its store" -}}
{{- end -}}
{{- if ne (include "usher.sharedStore" .) "true" -}}
{{- if gt (int .Values.replicaCount) 1 -}}
{{- fail (printf "\nusher: replicaCount is %d, but %s.\nWrite replicaCount: 1. One pod serves tens of thousands of requests a second." (int .Values.replicaCount) $why) -}}
{{- end -}}
{{- if .Values.autoscaling.enabled -}}
{{- fail (printf "\nusher: autoscaling.enabled is true, but %s.\nWrite autoscaling.enabled: false." $why) -}}
{{- end -}}
{{- if and (eq (dig "type" "Recreate" .Values.strategy) "RollingUpdate") .Values.persistence.enabled -}}
{{- fail "\nusher: strategy.type is RollingUpdate, but the old and the new pod would have the same SQLite file open.\nLeave strategy empty: the chart uses Recreate there." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.podDisruptionBudget.enabled (not (kindIs "invalid" .Values.podDisruptionBudget.minAvailable)) -}}
{{- $least := ternary .Values.autoscaling.minReplicas .Values.replicaCount .Values.autoscaling.enabled -}}
{{- if or (eq (toString .Values.podDisruptionBudget.minAvailable) "100%") (and (not (hasSuffix "%" (toString .Values.podDisruptionBudget.minAvailable))) (ge (int .Values.podDisruptionBudget.minAvailable) (int $least))) -}}
{{- fail (printf "\nusher: podDisruptionBudget.minAvailable is %v of %v pods, so no node with usher on it could be drained.\nWrite podDisruptionBudget.maxUnavailable: 1 instead." .Values.podDisruptionBudget.minAvailable $least) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "usher.validate.exposed" -}}
{{- $loopback := "^(127\\.|\\[::1\\]|localhost)" -}}
{{- $admin := dig "admin" "listen" "" .Values.config -}}
{{- if and $admin (not (regexMatch $loopback $admin)) (not .Values.admin.service.enabled) -}}
{{- fail (printf "\nusher: config.admin.listen is %s, where every pod of the cluster can reach it.\nWrite 127.0.0.1:4181 and use kubectl port-forward, or ask for it: admin.service.enabled: true." $admin) -}}
{{- end -}}
{{- if .Values.admin.service.enabled -}}
{{- if and (not .Values.config.existingConfig) (not (hasKey .Values.config "admin")) -}}
{{- fail "\nusher: admin.service.enabled is true, but there is no config.admin.\nWrite config.admin with a token or public_url and allow, or admin.service.enabled: false." -}}
{{- end -}}
{{- if and $admin (regexMatch $loopback $admin) -}}
{{- fail (printf "\nusher: admin.service.enabled is true, but config.admin.listen is %s, which no Service reaches.\nLeave config.admin.listen out, or write 0.0.0.0:4181." $admin) -}}
{{- end -}}
{{- end -}}
{{- range $key, $listen := dict "config.listen" (include "usher.listen" .) "config.metrics.listen" (dig "metrics" "listen" "" .Values.config) -}}
{{- if and $listen (regexMatch $loopback $listen) -}}
{{- fail (printf "\nusher: %s is %s, which neither the kubelet's probes nor a Service reaches.\nLeave it out, or write 0.0.0.0 and the port." $key $listen) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "usher.validate.sidecar" -}}
{{- $workload := .Values.sidecar.workload -}}
{{- if and $workload.enabled (not (and $workload.container $workload.container.name $workload.container.image)) -}}
{{- fail "\nusher: sidecar.workload.enabled is true, but there is no container.\nWrite sidecar.workload.container with the app's name and image." -}}
{{- end -}}
{{- if and (not $workload.enabled) (not .Values.sidecar.podLabels) -}}
{{- fail "\nusher: sidecar.podLabels is empty, so the Service would not find the app's pods.\nWrite the labels of the app's pods, or let the chart make the pod: sidecar.workload.enabled: true." -}}
{{- end -}}
{{- if not .Values.config.existingConfig -}}
{{- $beside := false -}}
{{- range .Values.config.apps -}}
{{- $beside = or $beside (regexMatch "^(https?://(localhost|127\\.[0-9.]+|\\[::1\\])(:|/|$)|unix:)" (.upstream | default "")) -}}
{{- end -}}
{{- if not $beside -}}
{{- fail "\nusher: no config.apps[].upstream is in this pod.\nWrite http://127.0.0.1:PORT or unix:/path of the app beside usher; for an app elsewhere, mode: proxy." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "usher.validate.proxy" -}}
{{- range .Values.config.apps -}}
{{- if not .upstream -}}
{{- fail (printf "\nusher: the app %q has no upstream.\nWrite the address of its Service, such as upstream: http://wiki.default.svc:3000; for an app behind an ingress that asks usher, mode: forwardAuth." .id) -}}
{{- end -}}
{{- if and (regexMatch "^https?://(localhost|127\\.[0-9.]+|\\[::1\\])(:|/|$)" .upstream) (not $.Values.extraContainers) -}}
{{- fail (printf "\nusher: the upstream of the app %q is %s, which is usher's own pod.\nWrite the address of its Service, such as http://wiki.default.svc:3000; for usher in the app's pod, mode: sidecar." .id .upstream) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "usher.validate.forwardAuth" -}}
{{- if not .Values.config.existingConfig -}}
{{- if not .Values.config.trusted_proxies -}}
{{- fail "\nusher: config.trusted_proxies is empty, so usher would answer no gateway.\nWrite the networks of the ingress or gateway's pods, such as [10.244.0.0/16]. Whoever is in them can say which page is asked for: write as little as you can." -}}
{{- end -}}
{{- range .Values.config.apps -}}
{{- if .upstream -}}
{{- fail (printf "\nusher: the app %q has an upstream, but in the mode forwardAuth the ingress or gateway takes requests to the app.\nLeave upstream out; for usher in front of the app, mode: proxy." .id) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.forwardAuth -}}
{{- $routes := or $.Values.gatewayApi.enabled .traefik.enabled .ingressNginx.enabled -}}
{{- if and .ingressNginx.enabled (not .apps) -}}
{{- fail "\nusher: forwardAuth.ingressNginx.enabled is true, but forwardAuth.apps is empty.\nWrite the app's host and Service there; to annotate an Ingress of your own, docs/ingress/ingress-nginx.md has the lines." -}}
{{- end -}}
{{- if and .envoyGateway.enabled (not .envoyGateway.targetRefs) (not (and .apps $.Values.gatewayApi.enabled)) -}}
{{- fail "\nusher: forwardAuth.envoyGateway.enabled is true, but there is no route to protect.\nWrite forwardAuth.apps with gatewayApi.enabled: true, or your own routes in forwardAuth.envoyGateway.targetRefs." -}}
{{- end -}}
{{- if and .apps (not $routes) -}}
{{- fail "\nusher: forwardAuth.apps is set, but nothing routes to them.\nWrite gatewayApi.enabled, forwardAuth.traefik.enabled or forwardAuth.ingressNginx.enabled: true." -}}
{{- end -}}
{{- if and .apps $.Values.gatewayApi.enabled (not .envoyGateway.enabled) (not .istio.enabled) -}}
{{- fail "\nusher: the HTTPRoutes of forwardAuth.apps would go to the apps without asking usher.\nWrite forwardAuth.envoyGateway.enabled or forwardAuth.istio.enabled: true, or leave forwardAuth.apps empty." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "usher.validate.routes" -}}
{{- if and .Values.gatewayApi.enabled (not .Values.gatewayApi.gatewayRef.name) -}}
{{- fail "\nusher: gatewayApi.enabled is true, but gatewayApi.gatewayRef.name is not set.\nWrite the name of the Gateway, and its namespace where it is another." -}}
{{- end -}}
{{- if and (or .Values.ingress.enabled .Values.gatewayApi.enabled) .Values.config.existingConfig -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "\nusher: ingress.hosts is empty, and the chart cannot read the hosts out of config.existingConfig.\nWrite them into ingress.hosts." -}}
{{- end -}}
{{- if and .Values.gatewayApi.enabled (not .Values.gatewayApi.hostnames) -}}
{{- fail "\nusher: gatewayApi.hostnames is empty, and the chart cannot read the hosts out of config.existingConfig.\nWrite them into gatewayApi.hostnames." -}}
{{- end -}}
{{- end -}}
{{- if ne .Values.mode "forwardAuth" -}}
{{- with .Values.forwardAuth -}}
{{- if or .apps .envoyGateway.enabled .traefik.enabled .istio.enabled .ingressNginx.enabled -}}
{{- fail (printf "\nusher: forwardAuth is set, but mode is %s.\nWrite mode: forwardAuth, or leave it out." $.Values.mode) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
