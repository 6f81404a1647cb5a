import Orchestry = require('./index.js');

export default Orchestry;
export * from './src/answers/index.js';
export * from './src/bodies.js';
export { Orchestry };
export import ApiError = Orchestry.ApiError;
export import ClientError = Orchestry.ClientError;
export import Conflict = Orchestry.Conflict;
export import Forbidden = Orchestry.Forbidden;
export import InvalidRequest = Orchestry.InvalidRequest;
export import NoLeader = Orchestry.NoLeader;
export import NotFound = Orchestry.NotFound;
export import NotReachable = Orchestry.NotReachable;
export import RateLimited = Orchestry.RateLimited;
export import TimedOut = Orchestry.TimedOut;
