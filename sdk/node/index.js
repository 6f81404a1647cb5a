'use strict';

const { Orchestry } = require('./src/client.js');
const errors = require('./src/errors.js');

module.exports = Object.assign(Orchestry, {
  ApiError: errors.ApiError,
  ClientError: errors.ClientError,
  Conflict: errors.Conflict,
  Forbidden: errors.Forbidden,
  InvalidRequest: errors.InvalidRequest,
  NoLeader: errors.NoLeader,
  NotFound: errors.NotFound,
  NotReachable: errors.NotReachable,
  RateLimited: errors.RateLimited,
  TimedOut: errors.TimedOut,
});
