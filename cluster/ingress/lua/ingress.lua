-- The phases of a request: find the route, choose a peer, count what came of it.
local balancer = require "ngx.balancer"
local base = require "resty.core.base"
local ffi = require "ffi"
local answer = require "orchestry_ingress.answer"
local https = require "orchestry_ingress.https"
local held = require "orchestry_ingress.held"
local peers = require "orchestry_ingress.peers"
local routes = require "orchestry_ingress.routes"
local stats = require "orchestry_ingress.stats"
local waiting = require "orchestry_ingress.waiting"

local M = {}

local MAX_TRIES = 8
local CONNECT_TIMEOUT_S = 1
local UPGRADED_IDLE_S = 3600  -- how long a WebSocket may be silent

-- What nginx can and may send again when a kept connection turns out to be closed: these
-- methods, without a body. The rest gets a connection of its own and never meets that case.
local REPEATABLE = { GET = true, HEAD = true, OPTIONS = true }

-- By the address of nginx's request, not ngx.ctx: that is lost in the error page, and with
-- it the count of requests in flight.
local requests = {}
local spare, spare_count = {}, 0   -- tables of ended requests, at most as many as ran at once

local function request_key()
    return tonumber(ffi.cast("uintptr_t", base.get_request()))
end

-- The upstream for what is no plain GET, and whether it becomes a WebSocket.
local function special(var)
    local upgrade = var.http_upgrade
    if upgrade ~= nil and upgrade:lower() == "websocket" then
        -- Only this protocol: h2c would let later requests pass by the routes.
        var.upgrade = "websocket"
        var.connection_to_peer = "upgrade"
        return "orchestry_fresh", true
    elseif REPEATABLE[ngx.req.get_method()]
        and not (var.http_content_length or var.http_transfer_encoding) then
        return "orchestry_kept", false  -- an upgrade that is not passed on
    end
    var.connection_to_peer = "close"
    return "orchestry_fresh", false
end

-- Keeps the request for the phases to come; returns the upstream that it goes to.
local function begin(var, route, host, uri)
    local upstream, upgrade = "orchestry_kept", false
    if var.body_or_upgrade ~= "" or not REPEATABLE[ngx.req.get_method()] then
        upstream, upgrade = special(var)
    end
    local header = var.http_host
    if header and header ~= host and header:sub(1, #host):lower() ~= host then
        var.host_to_peer = host  -- the request line names the host, and it holds
    end
    local request = spare[spare_count]
    if request then
        spare[spare_count] = nil
        spare_count = spare_count - 1
    else
        request = {}
    end
    request.route, request.host, request.uri = route, host, uri
    request.upgrade, request.tries = upgrade, 0
    requests[request_key()] = request
    return upstream
end

-- The upstream of a request that can be served at once, else "". Runs as `set_by_lua`, which
-- needs no coroutine; it can neither answer nor wait, so that is left to `access`.
function M.choose()
    local hosts = held.hosts()
    if not hosts then
        return ""
    end
    local var = ngx.var
    local host, uri = var.host, var.uri
    https.mark(var)
    if https.concerns(var, host, uri) then
        return ""
    end
    local route = routes.find(hosts, host, uri)
    if not route or not route.peers[1] then
        return ""
    end
    return begin(var, route, host, uri)
end

-- What could not be served at once: refused, or held until it can be.
function M.access()
    local hosts = held.hosts()
    if not hosts then
        ngx.req.discard_body()
        return answer.error(503, "CLUSTER_NOT_READY", "The ingress has no routes yet",
            "The leader sends them within seconds; try again.")
    end
    local var = ngx.var
    local host, uri = var.host, var.uri
    https.answer(var, host, uri)
    local route = routes.find(hosts, host, uri)
    if not route then
        return answer.refuse(404)
    elseif #route.peers == 0 then
        if not route.wakes then
            stats.refused(route.app)
            return answer.refuse(503)
        end
        route = waiting.wait(route, host, uri, stats.refused)
    end
    var.peers = begin(var, route, host, uri)
end

-- The n-th of "0.000, - , 0.001": nginx writes one for each try.
local function nth(list, n)
    local i = 0
    for item in (list or ""):gmatch("[^,:%s]+") do
        i = i + 1
        if i == n then
            return tonumber(item)
        end
    end
end

local function connect_failed(tries)
    return nth(ngx.var.upstream_connect_time, tries) == nil
end

local function leave(request)
    peers.release(request.peer)
    request.peer.retried = request.peer.retried + 1
    if connect_failed(request.tries) then
        peers.avoid(request.peer)
        request.tried = request.tried or {}
        request.tried[request.peer] = true
    end
    -- The table may have changed since: a replacement may be there by now.
    local hosts = held.hosts()
    local route = hosts and routes.find(hosts, request.host, request.uri)
    if route and #route.peers > 0 then
        request.route = route
    end
end

function M.balance()
    local request = requests[request_key()]
    if request.peer then
        leave(request)
    else
        balancer.set_more_tries(MAX_TRIES - 1)
        if request.upgrade then
            balancer.set_timeouts(CONNECT_TIMEOUT_S, UPGRADED_IDLE_S, UPGRADED_IDLE_S)
        end
    end
    local tried = request.tried or (request.tries > 0 and {}) or nil
    local peer = peers.pick(request.route, tried)
    request.peer = peer
    request.tries = request.tries + 1
    peers.acquire(peer)
    local ok, reason = balancer.set_current_peer(peer.address, peer.port)
    if not ok then
        error("peer " .. peer.key .. ": " .. tostring(reason))
    end
end

function M.log()
    local key = request_key()
    local request = requests[key]
    if not request then
        return
    end
    requests[key] = nil
    local peer = request.peer
    if not peer then
        return
    end
    local tries = request.tries
    request.peer, request.tried, request.route = nil, nil, nil
    spare_count = spare_count + 1
    spare[spare_count] = request
    peers.release(peer)
    local status, var = ngx.status, ngx.var
    if (status == 502 or status == 504) and connect_failed(tries) then
        peers.avoid(peer)
    end
    local latency_s
    if status ~= 101 then
        local header_time = var.upstream_header_time
        latency_s = tonumber(header_time) or nth(header_time, tries)
            or ngx.now() - ngx.req.start_time()
    end
    stats.record(peer, status, tonumber(var.bytes_sent), latency_s)
end

return M
