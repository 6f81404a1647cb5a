-- The admin listener: takes tables, tells what is held and what was counted.
local answer = require "orchestry_ingress.answer"
local held = require "orchestry_ingress.held"
local stats = require "orchestry_ingress.stats"

local M = {}

local token = os.getenv("INGRESS_ADMIN_TOKEN")
if token == "" then
    token = nil
end

local WAIT_MS_MAX = 500

local REFUSALS = {
    stale = { 409, "STALE_EPOCH", "A newer table is held", "Push a higher epoch or version." },
    foreign = { 409, "CONFLICT", "The ingress serves another cluster",
                "Give each cluster its own ingress, or restart this one." },
    full = { 507, "PAYLOAD_TOO_LARGE", "The table does not fit", "Route fewer replicas." },
    busy = { 503, "CONFLICT", "Another push holds the lock", "Push again." },
}

local function post_table()
    ngx.req.read_body()
    local body = ngx.req.get_body_data()
    if not body then
        return answer.error(400, "VALIDATION_ERROR", "Bad table", "the body is empty")
    end
    local outcome, fault = held.push(body)
    if outcome == "invalid" then
        return answer.error(400, "VALIDATION_ERROR", "Bad table", fault)
    end
    local refusal = REFUSALS[outcome]
    if refusal then
        return answer.error(unpack(refusal))
    end
    return answer.json(200, held.state())
end

-- `wait_ms`: so long, at most, until the counters tell of all that began before this table.
local function get_stats()
    stats.await(math.min(tonumber(ngx.var.arg_wait_ms) or 0, WAIT_MS_MAX) / 1000)
    return answer.json(200, stats.report())
end

local HANDLERS = {
    ["POST /table"] = post_table,
    ["GET /state"] = function() return answer.json(200, held.state()) end,
    ["GET /stats"] = get_stats,
    ["GET /livez"] = function() return answer.json(200, { status = "ok" }) end,
}

function M.handle()
    if token and ngx.var.http_authorization ~= "Bearer " .. token then
        ngx.req.discard_body()
        return answer.error(401, "UNAUTHORIZED", "Authentication required",
            "Send the ingress's token.")
    end
    local handler = HANDLERS[ngx.req.get_method() .. " " .. ngx.var.uri]
    if not handler then
        ngx.req.discard_body()
        return answer.error(404, "NOT_FOUND", "No such endpoint",
            "POST /table, GET /state, GET /stats, GET /livez")
    end
    return handler()
end

return M
