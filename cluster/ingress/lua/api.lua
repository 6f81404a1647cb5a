-- The load balancer in front of the API: asks each controller how it is, and sends requests
-- to the leader when it is well, else to another that is.
local answer = require "orchestry_ingress.answer"
local balancer = require "ngx.balancer"

local M = {}

local PROBE_S, PROBE_MS = 0.5, 1000
local TRIES_MAX = 3
local SAFE = { GET = true, HEAD = true, OPTIONS = true }

local controllers = {}
local turn = 0
-- With TLS: the name that the certificates of all controllers have; "" is without.
local tls_name = ""

-- Health is "leads", "well" or "ill"; unknown counts as ill.
local function health_of(one)
    local socket = ngx.socket.tcp()
    socket:settimeouts(PROBE_MS, PROBE_MS, PROBE_MS)
    if not socket:connect(one.host, one.port) then
        return "ill"
    end
    if tls_name ~= "" and not socket:sslhandshake(nil, tls_name, true) then
        socket:close()
        return "ill"
    end
    socket:send("GET /cluster/health HTTP/1.0\r\nHost: " .. one.host .. "\r\n\r\n")
    local text = socket:receive("*a") or ""
    socket:close()
    if not text:find("^HTTP/1%.[01] 200 ") then
        return "ill"
    end
    return text:find('"is_leader":%s*true') and "leads" or "well"
end

local function watch(premature, one)
    while not premature and not ngx.worker.exiting() do
        local ok, health = pcall(health_of, one)
        one.health = ok and health or "ill"
        ngx.sleep(PROBE_S)
    end
end

-- `secure`: controllers speak HTTPS, and are known by API_TLS_NAME.
function M.init(secure)
    tls_name = secure and (os.getenv("API_TLS_NAME") or "localhost") or ""
    for host, port in (os.getenv("API_CONTROLLERS") or ""):gmatch("([%d.]+):(%d+)") do
        controllers[#controllers + 1] = { host = host, port = tonumber(port), health = "ill" }
    end
    if #controllers == 0 then
        error("API_CONTROLLERS must list the controllers as address:port, separated by commas")
    end
end

function M.tls_name()
    return tls_name
end

function M.worker()
    for _, one in ipairs(controllers) do
        ngx.timer.at(0, watch, one)
    end
end

-- The leader first, then those that are well; the ill ones last, since they may still read.
local function order()
    local ranks = { leads = 0, well = 1, ill = 2 }
    local found = {}
    turn = turn + 1
    for i = 1, #controllers do
        found[i] = controllers[(turn + i) % #controllers + 1]
    end
    for i = 2, #found do
        local one, at = found[i], i
        while at > 1 and ranks[found[at - 1].health] > ranks[one.health] do
            found[at], at = found[at - 1], at - 1
        end
        found[at] = one
    end
    return found
end

function M.balance()
    local ctx = ngx.ctx
    if not ctx.order then
        ctx.order, ctx.tried = order(), 0
        balancer.set_more_tries(math.min(TRIES_MAX, #controllers) - 1)
    elseif balancer.get_last_failure() then
        ctx.order[ctx.tried].health = "ill"
    end
    ctx.tried = ctx.tried % #ctx.order + 1
    local one = ctx.order[ctx.tried]
    assert(balancer.set_current_peer(one.host, one.port))
end

-- No controller answered. A write may have been carried out all the same.
function M.page()
    if SAFE[ngx.req.get_method()] then
        return answer.error(503, "CLUSTER_NOT_READY", "No controller answers",
            "Try again in a second; see `orchestry cluster health`.")
    end
    return answer.error(504, "TIMEOUT", "The outcome of the write is unknown", {
        outcome = "unknown",
        remedy = "Repeat the request with the same `Idempotency-Key`.",
    })
end

return M
