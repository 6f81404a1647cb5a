/** Answers about jobs. Written by tools/gen_node_answers.py; do not edit. */

export interface JobSpecMetadata {
  name: string; labels?: Record<string, string>; annotations?: Record<string, string>;
}

export interface JobSpecSpecEnvironment {
  name: string; value?: string; source?: 'sdk' | 'secret'; key?: string; field?: string;
}

export interface JobSpecSpecEnv {
  name: string; value?: string; source?: 'sdk' | 'secret'; key?: string; field?: string;
}

export interface JobSpecSpecSecretFiles {
  name: string; key: string; field?: string;
}

export interface JobSpecSpecResources {
  cpu?: number | string; memory?: string;
}

export interface JobSpecSpecVolumes {
  name: string; mountPath: string; perReplica?: boolean; readOnly?: boolean;
}

export interface JobSpecSpecSecurity {
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

export interface JobSpecSpec {
  image: string; imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never'; command?: string[];
  args?: string[]; workingDir?: string; environment?: JobSpecSpecEnvironment[];
  env?: JobSpecSpecEnv[]; secretFiles?: JobSpecSpecSecretFiles[];
  resources?: JobSpecSpecResources; volumes?: JobSpecSpecVolumes[];
  security?: JobSpecSpecSecurity;
}

export interface JobSpecJob {
  schedule?: string; timezone?: string; concurrencyPolicy?: 'Allow' | 'Forbid' | 'Replace';
  timeoutSeconds?: number; retries?: number; startingDeadlineSeconds?: number; suspend?: boolean;
}

export interface JobSpecTermination {
  drainSeconds?: number; terminationGracePeriodSeconds?: number;
}

/** What runs once or by a schedule, as its owner wants it. */
export interface JobSpec {
  apiVersion: 'v1'; kind: 'Job'; metadata: JobSpecMetadata; spec: JobSpecSpec; job?: JobSpecJob;
  termination?: JobSpecTermination;
}
