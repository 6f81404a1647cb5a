import Orchestry from './index.js';

export default Orchestry;
export { Orchestry };
export const {
  ApiError, ClientError, Conflict, Forbidden, InvalidRequest, NoLeader, NotFound, NotReachable,
  RateLimited, TimedOut,
} = Orchestry;
