{{/* Ray's version: that of constraints.txt. */}}
{{- define "luray.rayVersion" -}}2.60.0{{- end -}}

{{/* Seconds that a pod has between the word that it must go and its end. */}}
{{- define "luray.grace" -}}120{{- end -}}

{{- define "luray.selector" -}}
app.kubernetes.io/part-of: luray
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "luray.labels" -}}
{{ include "luray.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* Labels and annotations of what Kueue admits; elastic-job lets the autoscaler change its size. */}}
{{- define "luray.metadata" -}}
labels:
  {{- include "luray.labels" . | nindent 2 }}
  {{- with .Values.kueue.queue }}
  kueue.x-k8s.io/queue-name: {{ . }}
  {{- end }}
{{- if .Values.kueue.queue }}
annotations:
  kueue.x-k8s.io/elastic-job: "true"
{{- end }}
{{- end -}}

{{/* Variables of every pod: places below the bucket, those of `env` over them. */}}
{{- define "luray.env" -}}
{{- $bucket := required "bucket is empty: set it to gs://..., s3://... or, with volume.size, /data" .Values.bucket -}}
{{- if and (hasPrefix "/" $bucket) (not .Values.volume.size) -}}
{{- fail (printf "bucket %s is a folder but volume.size is empty: pods share none; set volume.size, or a bucket" $bucket) -}}
{{- end -}}
{{- $bucket = trimSuffix "/" $bucket -}}
{{- $ours := dict "HOME" "/tmp" "RAY_USAGE_STATS_ENABLED" "0" "LURAY_BUCKET" $bucket -}}
{{- range $name, $below := dict "INPUTS" "inputs" "CATALOG" "stac/catalog.json" "OUTPUT" "output" -}}
{{- $_ := set $ours (printf "LURAY_%s" $name) (printf "%s/%s" $bucket $below) -}}
{{- end -}}
{{- range $name, $value := merge (deepCopy .Values.env) $ours }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "luray.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "luray.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* request = limit: Ray takes its CPUs, GPUs and memory from the limits. Argument: a group. */}}
{{- define "luray.resources" -}}
{{- range $side := list "requests" "limits" }}
{{ $side }}:
  cpu: {{ $.cpu | quote }}
  memory: {{ $.memory }}
  ephemeral-storage: {{ $.disk }}
  {{- with $.gpus }}
  nvidia.com/gpu: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The pod of a group. Arguments: root, group, name (head, cpu or gpu), image. */}}
{{- define "luray.pod" -}}
{{- $head := eq .name "head" -}}
metadata:
  labels:
    {{- include "luray.labels" .root | nindent 4 }}
  annotations:  # no autoscaler of nodes moves a pod that is at work
    cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
    karpenter.sh/do-not-disrupt: "true"
spec:
  serviceAccountName: {{ .root.Release.Name }}-{{ $head | ternary "head" "worker" }}
  automountServiceAccountToken: {{ $head }}  # the autoscaler talks to the API server, nobody else does
  terminationGracePeriodSeconds: {{ include "luray.grace" . }}
  restartPolicy: Never
  securityContext:
    {{- include "luray.podSecurity" . | nindent 4 }}
  {{- with .group.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .group.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .group.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ $head | ternary "ray-head" "ray-worker" }}
      image: {{ .image }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      securityContext:
        {{- include "luray.containerSecurity" . | nindent 8 }}
      env:
        {{- include "luray.env" .root | trim | nindent 8 }}
        {{- if $head }}
        - name: RAY_JOB_STOP_WAIT_TIME_S  # for a stopped stage to finish what it has in hand
          value: {{ sub (include "luray.grace" .) 20 | quote }}
        {{- end }}
      ports:
        {{- if $head }}
        - {name: gcs-server, containerPort: 6379}
        - {name: dashboard, containerPort: 8265}
        {{- end }}
        - {name: metrics, containerPort: 8080}
      lifecycle:
        preStop:
          exec:
            command:
              {{- include ($head | ternary "luray.stopHead" "luray.stopWorker") . | nindent 14 }}
      resources:
        {{- include "luray.resources" .group | trim | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: ray-logs, mountPath: /tmp/ray}
        {{- include "luray.mounts" .root | nindent 8 }}
  volumes:
    - name: tmp
      emptyDir: {}
    - name: ray-logs  # KubeRay's name, so that the autoscaler shares it: logs, and what the object store spills
      emptyDir:
        sizeLimit: {{ .group.disk }}
    {{- include "luray.volumes" .root | nindent 4 }}
{{- end -}}

{{- define "luray.mounts" -}}
- {name: run, mountPath: /etc/luray, readOnly: true}
{{- if .Values.volume.size }}
- {name: data, mountPath: /data}
{{- end }}
{{- end -}}

{{- define "luray.volumes" -}}
- name: run
  configMap:
    name: {{ .Release.Name }}-run
{{- if .Values.volume.size }}
- name: data
  persistentVolumeClaim:
    claimName: {{ .Release.Name }}-data
{{- end }}
{{- end -}}

{{/* Ray gives the node no new work, the autoscaler a new node; what runs goes on until it is done or time is up. */}}
{{- define "luray.stopWorker" -}}
{{- $seconds := sub (include "luray.grace" .) 15 -}}
- /bin/bash
- -c
- >-
  ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message "pod is terminating"
  --deadline-remaining-seconds {{ $seconds }};
  for ((i = 0; i < {{ $seconds }}; i++)); do grep -qsx raylet /proc/[0-9]*/comm || break; sleep 1; done
{{- end -}}

{{/* A stage that runs is told to stop and waited for: it finishes the tile-years in hand. */}}
{{- define "luray.stopHead" -}}
- python
- -c
- |
  import time
  from ray.job_submission import JobSubmissionClient
  client = JobSubmissionClient("http://127.0.0.1:8265")
  running = [job.submission_id for job in client.list_jobs() if job.submission_id and not job.status.is_terminal()]
  for name in running:
      client.stop_job(name)
  end = time.monotonic() + {{ sub (include "luray.grace" .) 15 }}
  while time.monotonic() < end and not all(client.get_job_status(name).is_terminal() for name in running):
      time.sleep(1)
{{- end -}}

{{/* The cluster: what RayCluster and RayJob share. */}}
{{- define "luray.cluster" -}}
{{- $image := required "image.cpu is empty: set it to the image you built and pushed, best by digest" .Values.image.cpu -}}
rayVersion: {{ include "luray.rayVersion" . }}
enableInTreeAutoscaling: true
autoscalerOptions:
  version: v2
  idleTimeoutSeconds: 120
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  resources:
    requests: {cpu: 500m, memory: 1Gi}
    limits: {cpu: 500m, memory: 1Gi}
  securityContext:
    {{- include "luray.containerSecurity" . | nindent 4 }}
  env:
    - {name: HOME, value: /tmp}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
authOptions:
  mode: token
  {{- with .Values.authSecret }}
  secretName: {{ . }}
  {{- end }}
headGroupSpec:
  serviceType: ClusterIP
  rayStartParams:
    num-cpus: "0"
  template:
    {{- include "luray.pod" (dict "root" . "name" "head" "group" .Values.head "image" $image) | nindent 4 }}
workerGroupSpecs:
  {{- range $name := list "cpu" "gpu" }}
  {{- $group := index $.Values $name }}
  {{- if gt (int $group.min) (int $group.max) }}
  {{- fail (printf "%s.min %v is above %s.max %v; lower the one or raise the other" $name $group.min $name $group.max) }}
  {{- end }}
  {{- if or (eq $name "cpu") $group.max }}
  - groupName: {{ $name }}
    replicas: {{ $group.min }}
    minReplicas: {{ $group.min }}
    maxReplicas: {{ $group.max }}
    rayStartParams: {}
    template:
      {{- $its := eq $name "cpu" | ternary $image $.Values.image.gpu }}
      {{- $_ := required "gpu.max is above 0 but image.gpu is empty: set it to the image of VARIANT=cuda" $its }}
      {{- include "luray.pod" (dict "root" $ "name" $name "group" $group "image" $its) | nindent 6 }}
  {{- end }}
  {{- end }}
{{- end -}}
