'use strict';

/** A small app that users scale by hand. */
function spec(name) {
  return {
    apiVersion: 'v1', kind: 'App', metadata: { name },
    spec: {
      type: 'http', image: 'web:1', ports: [{ containerPort: 8080, protocol: 'HTTP' }],
      resources: { cpu: '100m', memory: '16Mi' },
    },
    termination: { terminationGracePeriodSeconds: 1, drainSeconds: 0 },
    scaling: { mode: 'manual' },
  };
}

module.exports = { spec };
