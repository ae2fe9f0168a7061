{{- define "tidegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tidegate.labels" -}}
{{ include "tidegate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "tidegate.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tidegate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.operatorSecret" -}}
{{- default (printf "%s-operator" (include "tidegate.fullname" .)) .Values.operator.existingSecret -}}
{{- end -}}

{{/* A store of its own, or names that stay: a StatefulSet. */}}
{{- define "tidegate.stateful" -}}
{{- if or (eq .Values.mode "alone") .Values.peers -}}yes{{- end -}}
{{- end -}}

{{/* What can't be said by the schema. */}}
{{- define "tidegate.check" -}}
{{- if and (not .Values.operator.existingSecret) (not (and .Values.operator.accessKey .Values.operator.secretKey)) -}}
{{- fail "operator: set existingSecret, or accessKey and secretKey" -}}
{{- end -}}
{{- if and (eq .Values.mode "alone") .Values.peers -}}
{{- fail "peers: only with mode over-s3; nodes with stores of their own share nothing" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled .Values.peers -}}
{{- fail "autoscaling: not with peers; each node names the others" -}}
{{- end -}}
{{- if and (eq .Values.mode "alone") .Values.autoscaling.enabled -}}
{{- fail "autoscaling: only with mode over-s3; a store has one node" -}}
{{- end -}}
{{- if and (not (include "tidegate.stateful" .)) (hasKey .Values.settings "TIDEGATE_BACK_BUCKETS") -}}
{{- fail "settings.TIDEGATE_BACK_BUCKETS: write-back keeps acknowledged writes on the pod's volume; set peers: true" -}}
{{- end -}}
{{- end -}}

{{/* Of the pods, whatever makes them. */}}
{{- define "tidegate.pod" -}}
{{- $name := include "tidegate.fullname" . -}}
{{- $files := or .Values.gatewayToml .Values.policies .Values.tenants -}}
metadata:
  labels:
    {{- include "tidegate.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Other configuration, other pods. Policies and tenants are taken up as they change.
    checksum/gateway: {{ .Values.gatewayToml | sha256sum }}
    {{- if not .Values.operator.existingSecret }}
    checksum/operator: {{ printf "%s %s" .Values.operator.accessKey .Values.operator.secretKey | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "tidegate.serviceAccount" . }}
  # The gateway asks nothing of Kubernetes.
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    # The volume is the gateway's, whoever made it.
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: tidegate
      image: "{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: ["serve"]
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: ["ALL"]
      env:
        - name: TIDEGATE_ROOT_ACCESS_KEY
          valueFrom:
            secretKeyRef:
              name: {{ include "tidegate.operatorSecret" . }}
              key: access-key
        - name: TIDEGATE_ROOT_SECRET_KEY
          valueFrom:
            secretKeyRef:
              name: {{ include "tidegate.operatorSecret" . }}
              key: secret-key
        # Below the volume's root, whose mode is Kubernetes' own.
        - name: TIDEGATE_DATA
          value: /data/tidegate
        - name: TIDEGATE_LISTEN
          value: "[::]:9000"
        - name: TIDEGATE_EDGE_LISTEN
          value: "[::]:9080"
        - name: TIDEGATE_ADMIN_LISTEN
          value: "[::]:9001"
        - name: TIDEGATE_LOG_FORMAT
          value: json
        {{- if eq .Values.mode "over-s3" }}
        - name: TIDEGATE_UPSTREAM_BUCKET
          value: {{ .Values.upstream.bucket | quote }}
        {{- with .Values.upstream.endpoint }}
        - name: TIDEGATE_UPSTREAM_ENDPOINT
          value: {{ . | quote }}
        {{- end }}
        {{- with .Values.upstream.region }}
        - name: TIDEGATE_UPSTREAM_REGION
          value: {{ . | quote }}
        {{- end }}
        - name: TIDEGATE_UPSTREAM_PATH_STYLE
          value: {{ .Values.upstream.pathStyle | quote }}
        {{- if .Values.peers }}
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: TIDEGATE_CLUSTER_THIS
          value: http://$(POD_NAME).{{ $name }}-nodes:9001
        - name: TIDEGATE_CLUSTER_PEERS
          value: {{ range $n, $_ := until (int .Values.replicas) }}{{ if $n }},{{ end }}http://{{ $name }}-{{ $n }}.{{ $name }}-nodes:9001{{ end }}
        {{- end }}
        {{- end }}
        {{- range $key, $value := .Values.settings }}
        - name: {{ $key }}
          value: {{ $value | quote }}
        {{- end }}
        {{- with .Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if and (eq .Values.mode "over-s3") .Values.upstream.existingSecret }}
      envFrom:
        - secretRef:
            name: {{ .Values.upstream.existingSecret }}
      {{- end }}
      ports:
        - { name: s3, containerPort: 9000 }
        - { name: edge, containerPort: 9080 }
        - { name: admin, containerPort: 9001 }
      startupProbe:
        httpGet: { path: /-/health, port: admin }
        periodSeconds: 2
        failureThreshold: {{ div .Values.startupSeconds 2 }}
      livenessProbe:
        httpGet: { path: /-/health, port: admin }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /-/ready, port: admin }
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - { name: data, mountPath: /data }
        {{- if .Values.gatewayToml }}
        - { name: files, mountPath: /etc/tidegate/gateway.toml, subPath: gateway.toml, readOnly: true }
        {{- end }}
        {{- if or .Values.policies .Values.tenants }}
        - { name: policies, mountPath: /etc/tidegate/policies, readOnly: true }
        {{- end }}
  {{- if or (not (include "tidegate.stateful" .)) $files }}
  volumes:
    {{- if not (include "tidegate.stateful" .) }}
    - name: data
      emptyDir:
        sizeLimit: {{ .Values.cacheVolume.sizeLimit }}
    {{- end }}
    {{- if .Values.gatewayToml }}
    - name: files
      configMap:
        name: {{ $name }}
        items:
          - { key: gateway.toml, path: gateway.toml }
    {{- end }}
    {{- if or .Values.policies .Values.tenants }}
    - name: policies
      projected:
        sources:
          - configMap:
              name: {{ $name }}
              items:
                - { key: tenant-default.json, path: tenant-default.json }
                {{- range $file, $_ := .Values.policies }}
                - { key: {{ $file }}, path: {{ $file }} }
                {{- end }}
                {{- range $file, $_ := .Values.tenants }}
                - { key: {{ $file }}, path: tenants/{{ $file }} }
                {{- end }}
    {{- end }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tidegate.selector" $ | nindent 10 }}
    {{- end }}
    {{- end }}
{{- end -}}
