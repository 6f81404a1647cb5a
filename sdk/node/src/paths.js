'use strict';

const { invalid } = require('./errors.js');

function app(name, rest = '') {
  return `/api/v1/apps/${part(name, 'app_name', 'give the name of an app')}${rest}`;
}

function job(name, rest = '') {
  return `/api/v1/jobs/${part(name, 'app_name', 'give the name of a job')}${rest}`;
}

function secret(name, rest = '') {
  return `/api/v1/secrets/${part(name, 'secret_name', 'give the name of a secret')}${rest}`;
}

function registry(host, rest = '') {
  return `/api/v1/registries/${part(host, 'registry_host', 'give the host of a registry')}${rest}`;
}

function part(name, field, wanted) {
  // "." and ".." would change the path; every other name is for the cluster to judge.
  if (typeof name !== 'string' || ['', '.', '..'].includes(name)) throw invalid(field, wanted);
  try {
    return encodeURIComponent(name);
  } catch {
    throw invalid(field, 'is no well-formed text');
  }
}

module.exports = { app, job, part, registry, secret };
