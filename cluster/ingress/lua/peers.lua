-- Peers: this worker's view of every replica, and the choice of one for a request.
local M = {}

local AVOID_S = 2             -- how long a peer that refused a connection is tried last
local AVOIDED, TRIED = 1e6, 1e9   -- above any possible number of requests per weight

local known = ngx.shared.orchestry_peers
local dirty, dirty_count = {}, 0
local states = {}             -- by app, id, address and port: survive a new table
local turns = {}              -- by app and path: whose turn it is; survive a new table

local function state_of(app, peer, old)
    local key = app .. "|" .. peer.id
    local identity = key .. "|" .. peer.address .. ":" .. peer.port
    local state = old[identity]
    if not state then
        state = {
            address = peer.address, port = peer.port, key = key,
            in_flight = 0, credit = 0, avoid_until_s = 0, known = false,
            flight_key = "f|" .. ngx.worker.id() .. "|" .. key,
            -- What was counted since the last flush, and under which keys it goes.
            counts = {}, bytes = 0, errors = 0, upgrades = 0, dirty = false,
            retried = 0,
            keys = { bytes = "b|" .. key, errors = "e|" .. key, upgrades = "u|" .. key,
                     retried = "r|" .. key },
            bucket_keys = {},
        }
    end
    state.weight = peer.weight
    return identity, state
end

-- The shares of a route that have peers, with their states in the place of ids. Each worker
-- begins at another place of the turn, so that few requests are shared out well by all of them.
local function shares_of(route, by_id, old)
    local found, total = {}, 0
    local credits = old or {}
    for i, share in ipairs(route.shares) do
        local list = {}
        for _, id in ipairs(share.peers) do
            list[#list + 1] = by_id[id]
        end
        if list[1] then
            found[#found + 1] = { weight = share.weight, peers = list, number = i }
            total = total + share.weight
        end
        if not credits[i] then
            local sign = (i == 1 and 1) or (i == #route.shares and -1) or 0
            credits[i] = sign * (100 * (ngx.worker.id() + 0.5) / ngx.worker.count() - 50)
        end
    end
    found.total, found.credits = total, credits
    return found
end

-- Replaces the peers of checked routes by their states; forgets those that are gone.
function M.bind(routes)
    local fresh, fresh_turns = {}, {}
    for _, route in ipairs(routes) do
        local by_id = {}
        for i, peer in ipairs(route.peers) do
            local identity, state = state_of(route.app, peer, states)
            state = fresh[identity] or state
            fresh[identity] = state
            route.peers[i] = state
            by_id[peer.id] = state
        end
        if route.shares then
            local key = route.app .. "|" .. route.path
            route.shares = shares_of(route, by_id, turns[key])
            fresh_turns[key] = route.shares.credits
        end
    end
    states, turns = fresh, fresh_turns
end

local function touch(peer)
    if not peer.dirty then
        peer.dirty = true
        dirty_count = dirty_count + 1
        dirty[dirty_count] = peer
    end
end

function M.acquire(peer)
    peer.in_flight = peer.in_flight + 1
    if not peer.known then
        known:set(peer.key, ngx.time())
        peer.known = true
    end
    touch(peer)
end

function M.release(peer)
    peer.in_flight = peer.in_flight - 1
    touch(peer)
end

-- Those whose counters changed since the last call, also of an earlier table.
function M.each_dirty(visit)
    local list, count = dirty, dirty_count
    dirty, dirty_count = {}, 0
    for i = 1, count do
        list[i].dirty = false
        visit(list[i])
    end
end

function M.avoid(peer)
    peer.avoid_until_s = ngx.now() + AVOID_S
end

local function load_of(peer, tried, now_s)
    local load = peer.in_flight / peer.weight
    if peer.avoid_until_s > now_s then
        load = load + AVOIDED
    end
    if tried and tried[peer] then
        load = load + TRIED
    end
    return load
end

-- Least requests in flight per weight; equals take turns by weight (smooth round robin).
-- Peers that failed this request or lately refuse connections come last, never not at all.
local function least_of(list, tried)
    local count = #list
    if count == 1 then
        return list[1]
    end
    local now_s = ngx.now()
    local least = math.huge
    for i = 1, count do
        local load = load_of(list[i], tried, now_s)
        if load < least then
            least = load
        end
    end
    local best, total = nil, 0
    for i = 1, count do
        local peer = list[i]
        if load_of(peer, tried, now_s) == least then
            peer.credit = peer.credit + peer.weight
            total = total + peer.weight
            if not best or peer.credit > best.credit then
                best = peer
            end
        end
    end
    best.credit = best.credit - total
    return best
end

-- The share whose turn it is, by weight (smooth round robin): exact, whatever its peers do.
local function share_of(shares)
    local best
    local credits = shares.credits
    for _, share in ipairs(shares) do
        local number = share.number
        if share.weight > 0 or shares.total == 0 then
            credits[number] = credits[number] + share.weight
            if not best or credits[number] > credits[best.number] then
                best = share
            end
        end
    end
    if best then
        credits[best.number] = credits[best.number] - shares.total
    end
    return best
end

-- A request that was tried already goes wherever it can be served, and so does one whose share
-- has only peers that refuse connections.
function M.pick(route, tried)
    local share = route.shares and not tried and share_of(route.shares)
    if share then
        local peer = least_of(share.peers)
        if peer.avoid_until_s <= ngx.now() then
            return peer
        end
    end
    return least_of(route.peers, tried)
end

return M
