'use strict';

/**
 * Base of every error of a call. `code` is the wire's own string, `details` is as the cluster
 * sent it; `status` and `requestId` are null when no controller answered.
 */
class ClientError extends Error {
  constructor(code, message, details = null, { status = null, requestId = null } = {}) {
    super(details ? `${message}: ${shown(details)}` : message);
    this.name = new.target.name;
    this.code = code;
    this.details = details;
    this.status = status;
    this.requestId = requestId;
  }
}

/** The cluster answered with an error, and asking again would not help. */
class ApiError extends ClientError {}

/** The cluster refuses the request as it is; `details` names the faulty fields. */
class InvalidRequest extends ApiError {}

/** No token, a wrong one, or one that does not allow this. */
class Forbidden extends ApiError {}

/** There is no such app. */
class NotFound extends ApiError {}

/** The request contradicts the present state: a duplicate, or another change under way. */
class Conflict extends ApiError {}

/** Too many requests for the time that the call may take; `retryAfterS` is how many more. */
class RateLimited extends ApiError {
  retryAfterS = null;
}

/** Time ran out; the operation may have been carried out, or still goes on. */
class TimedOut extends ClientError {}

/** No controller could be reached; nothing was carried out. */
class NotReachable extends ClientError {}

/** Controllers answer, but they have no leader that could write. */
class NoLeader extends ClientError {}

const BY_STATUS = {
  400: InvalidRequest, 401: Forbidden, 403: Forbidden, 404: NotFound, 409: Conflict,
  413: InvalidRequest, 415: InvalidRequest, 429: RateLimited, 504: TimedOut,
};
const BY_CODE = { CLUSTER_NOT_READY: NoLeader, NO_LEADER: NoLeader };

/** The error for an error answer; `body` is null when it is no controller's, as from a proxy. */
function fromAnswer(status, body, headers) {
  const code = String(body?.code || `HTTP_${status}`);
  const message = String(body?.error || `HTTP status ${status} without a readable error body`);
  const Kind = (Object.hasOwn(BY_CODE, code) && BY_CODE[code]) || BY_STATUS[status] || ApiError;
  const error = new Kind(code, message, body?.details ?? null, {
    status, requestId: headers['x-request-id'] ?? null,
  });
  if (error instanceof RateLimited) error.retryAfterS = seconds(headers['retry-after']);
  return error;
}

/** The error for a value that no cluster has to see. */
function invalid(field, message) {
  return new InvalidRequest('VALIDATION_ERROR', 'Request validation failed', [{ field, message }]);
}

/** The value of `Retry-After` in seconds; null for anything but a whole number. */
function seconds(text) {
  return text && /^\d+$/.test(text) ? Number(text) : null;
}

function shown(details) {
  if (!Array.isArray(details)) {
    return typeof details === 'string' ? details : JSON.stringify(details);
  }
  return details.map((fault) => (
    fault && typeof fault === 'object' && 'message' in fault
      ? `${fault.field}: ${fault.message}` : String(fault))).join('; ');
}

module.exports = {
  ApiError, ClientError, Conflict, Forbidden, InvalidRequest, NoLeader, NotFound, NotReachable,
  RateLimited, TimedOut, fromAnswer, invalid, seconds,
};
