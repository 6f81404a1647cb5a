/** Answers about spec. Written by tools/gen_node_answers.py; do not edit. */

export interface AppSpecMetadata {
  name: string; labels?: Record<string, string>; annotations?: Record<string, string>;
}

export interface AppSpecSpecPorts {
  containerPort: number; protocol?: 'HTTP' | 'TCP'; name?: string;
}

export interface AppSpecSpecEnvironment {
  name: string; value?: string; source?: 'sdk' | 'secret'; key?: string; field?: string;
}

export interface AppSpecSpecEnv {
  name: string; value?: string; source?: 'sdk' | 'secret'; key?: string; field?: string;
}

export interface AppSpecSpecSecretFiles {
  name: string; key: string; field?: string;
}

export interface AppSpecSpecResources {
  cpu?: number | string; memory?: string;
}

export interface AppSpecSpecVolumes {
  name: string; mountPath: string; perReplica?: boolean; readOnly?: boolean;
}

export interface AppSpecSpecIngress {
  hosts?: string[]; path?: string;
}

export interface AppSpecSpecSecurity {
  user?: string; readOnlyRootFilesystem?: boolean;
  capAdd?: ('AUDIT_WRITE'
    | 'CHOWN'
    | 'DAC_OVERRIDE'
    | 'FOWNER'
    | 'FSETID'
    | 'KILL'
    | 'MKNOD'
    | 'NET_BIND_SERVICE'
    | 'NET_RAW'
    | 'SETFCAP'
    | 'SETGID'
    | 'SETPCAP'
    | 'SETUID'
    | 'SYS_CHROOT'
    | 'IPC_LOCK'
    | 'LEASE'
    | 'SYS_NICE')[];
  capDrop?: ('ALL'
    | 'AUDIT_WRITE'
    | 'CHOWN'
    | 'DAC_OVERRIDE'
    | 'FOWNER'
    | 'FSETID'
    | 'KILL'
    | 'MKNOD'
    | 'NET_BIND_SERVICE'
    | 'NET_RAW'
    | 'SETFCAP'
    | 'SETGID'
    | 'SETPCAP'
    | 'SETUID'
    | 'SYS_CHROOT'
    | 'IPC_LOCK'
    | 'LEASE'
    | 'SYS_NICE')[];
}

export interface AppSpecSpec {
  type?: 'http' | 'tcp'; image: string; imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never';
  ports: AppSpecSpecPorts[]; command?: string[]; args?: string[]; workingDir?: string;
  environment?: AppSpecSpecEnvironment[]; env?: AppSpecSpecEnv[];
  secretFiles?: AppSpecSpecSecretFiles[]; resources?: AppSpecSpecResources;
  volumes?: AppSpecSpecVolumes[]; ingress?: AppSpecSpecIngress;
  restartPolicy?: 'Always' | 'OnFailure' | 'Never'; security?: AppSpecSpecSecurity;
}

export interface AppSpecScalingSchedule {
  cron: string; timezone: string; minReplicas: number; maxReplicas: number;
  durationSeconds: number;
}

export interface AppSpecScaling {
  mode?: 'auto' | 'manual'; minReplicas?: number; maxReplicas?: number;
  targetRPSPerReplica?: number; maxP95LatencyMs?: number; maxCPUPercent?: number;
  maxMemoryPercent?: number; maxConnPerReplica?: number;
  metrics?: ('cpu' | 'memory' | 'rps' | 'latency' | 'connections')[];
  scaleOutThresholdPct?: number; scaleInThresholdPct?: number; windowSeconds?: number;
  cooldownSeconds?: number; maxScaleOutStep?: number; maxScaleInStep?: number;
  stabilizationWindowSeconds?: number; schedule?: AppSpecScalingSchedule[];
}

export interface AppSpecHealthCheckHeaders {
  name: string; value: string;
}

export interface AppSpecHealthCheck {
  protocol?: 'HTTP' | 'TCP'; path?: string; port?: number; method?: 'GET' | 'POST';
  headers?: AppSpecHealthCheckHeaders[]; body?: string; expectedStatusCodes?: number[];
  initialDelaySeconds?: number; periodSeconds?: number; timeoutSeconds?: number;
  failureThreshold?: number; successThreshold?: number;
}

export interface AppSpecTermination {
  drainSeconds?: number; terminationGracePeriodSeconds?: number;
}

export interface AppSpecDeploySteps {
  weight: number; pauseSeconds?: number;
}

export interface AppSpecDeployGate {
  maxExtraErrorPercent?: number; maxP95Percent?: number; minRequests?: number;
}

export interface AppSpecDeployPre {
  command: string[]; timeoutSeconds?: number;
}

export interface AppSpecDeploy {
  strategy?: 'rolling' | 'recreate' | 'canary'; maxSurge?: number; maxUnavailable?: number;
  steps?: AppSpecDeploySteps[]; gate?: AppSpecDeployGate; minHealthySeconds?: number;
  progressDeadlineSeconds?: number; autoRollback?: boolean; pre?: AppSpecDeployPre;
}

/** An application as its owner wants it. */
export interface AppSpec {
  apiVersion: 'v1'; kind: 'App' | 'Job'; metadata: AppSpecMetadata; spec: AppSpecSpec;
  scaling?: AppSpecScaling; healthCheck?: AppSpecHealthCheck; termination?: AppSpecTermination;
  deploy?: AppSpecDeploy;
}
