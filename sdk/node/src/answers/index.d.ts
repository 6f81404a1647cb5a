/** What calls answer. Written by tools/gen_node_answers.py; do not edit. */
export * from './access.js';
export * from './apps.js';
export * from './cluster.js';
export * from './config.js';
export * from './deploys.js';
export * from './jobs.js';
export * from './registries.js';
export * from './releases.js';
export * from './runs.js';
export * from './scaling.js';
export * from './secrets.js';
export * from './spec.js';
export * from './volumes.js';
