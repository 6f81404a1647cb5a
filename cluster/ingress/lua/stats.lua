-- Counters per app and peer: kept by each worker, and summed in a shared dictionary.
local held = require "orchestry_ingress.held"
local peers = require "orchestry_ingress.peers"
local waiting = require "orchestry_ingress.waiting"

local M = {}

-- Upper bounds in ms, two a doubling; one bucket more is beyond them all.
local BOUNDS = { 1, 1.5 }
for power = 1, 15 do
    BOUNDS[#BOUNDS + 1] = 2 ^ power
    BOUNDS[#BOUNDS + 1] = 1.5 * 2 ^ power
end
local BUCKETS = #BOUNDS
local FORGET_S = 600          -- a peer without traffic in flight that was in no report since

local AWAIT_PAUSE_S = 0.003

local counters = ngx.shared.orchestry_stats
local known = ngx.shared.orchestry_peers

local function bucket_of(seconds)
    local ms = seconds * 1000
    for i = 1, BUCKETS do
        if ms <= BOUNDS[i] then
            return i
        end
    end
    return BUCKETS + 1
end

local function bucket_key(peer, bucket)
    local key = peer.bucket_keys[bucket]
    if not key then
        key = "l|" .. bucket .. "|" .. peer.key
        peer.bucket_keys[bucket] = key
    end
    return key
end

-- `latency_s` is the time to the first byte of the answer; nil for an upgraded connection,
-- whose length says nothing about the replica's speed. The peer is dirty, since it was
-- released.
function M.record(peer, status, bytes, latency_s)
    if latency_s then
        local bucket = bucket_of(latency_s)
        peer.counts[bucket] = (peer.counts[bucket] or 0) + 1
    else
        peer.upgrades = peer.upgrades + 1
    end
    peer.bytes = peer.bytes + bytes
    if status >= 500 then
        peer.errors = peer.errors + 1
    end
end

-- A request that found no replica: told like those of a peer of this name.
function M.refused(app)
    local key = app .. "|-"
    known:set(key, ngx.time())
    counters:incr("u|" .. key, 1, 0)
    counters:incr("e|" .. key, 1, 0)
end

local function flush_peer(peer)
    for bucket, count in pairs(peer.counts) do
        counters:incr(bucket_key(peer, bucket), count, 0)
        peer.counts[bucket] = nil
    end
    for field, key in pairs(peer.keys) do
        if peer[field] > 0 then
            counters:incr(key, peer[field], 0)
            peer[field] = 0
        end
    end
    counters:set(peer.flight_key, peer.in_flight)
end

-- A request would pay for several locks and look-ups in the shared dictionary.
function M.flush()
    held.hosts()  -- first: what is sent on from here on is so under this table
    peers.each_dirty(flush_peer)
    held.flushed()
end

local flush_at_s = 0

local function tick()
    local now_s = ngx.now()
    if now_s >= flush_at_s or held.is_unflushed() then
        flush_at_s = now_s + held.FLUSH_S
        M.flush()
    end
end

function M.start()
    held.reset_flushed()
    assert(ngx.timer.every(held.TICK_S, tick))
end

-- Wait until every worker has flushed its counters with the table that is held now.
function M.await(wait_s)
    M.flush()
    local wanted, until_s = held.state(), ngx.now() + wait_s
    while ngx.now() < until_s do
        local settled = held.settled()
        if settled.epoch > wanted.epoch
            or settled.epoch == wanted.epoch and settled.version >= wanted.version then
            return
        end
        ngx.sleep(AWAIT_PAUSE_S)
    end
end

-- A worker that died took its requests along: what it counted in flight is gone.
function M.reset_in_flight()
    for _, key in ipairs(known:get_keys(0)) do
        counters:delete("f|" .. ngx.worker.id() .. "|" .. key)
    end
end

local function in_flight_of(key)
    local sum = 0
    for worker = 0, ngx.worker.count() - 1 do
        sum = sum + (counters:get("f|" .. worker .. "|" .. key) or 0)
    end
    return sum
end

local function report_of(key)
    local latency, requests = {}, counters:get("u|" .. key) or 0
    for bucket = 1, BUCKETS + 1 do
        latency[bucket] = counters:get("l|" .. bucket .. "|" .. key) or 0
        requests = requests + latency[bucket]
    end
    return {
        requests = requests,
        errors = counters:get("e|" .. key) or 0,
        retried = counters:get("r|" .. key) or 0,
        bytes_sent = counters:get("b|" .. key) or 0,
        in_flight = in_flight_of(key),
        latency_counts = latency,
    }
end

local function forget(key)
    known:delete(key)
    for _, prefix in ipairs({ "u|", "e|", "b|", "r|" }) do
        counters:delete(prefix .. key)
    end
    for bucket = 1, BUCKETS + 1 do
        counters:delete("l|" .. bucket .. "|" .. key)
    end
    for worker = 0, ngx.worker.count() - 1 do
        counters:delete("f|" .. worker .. "|" .. key)
    end
end

local function keys_in_table()
    local present = {}
    for _, entry in pairs(held.hosts() or {}) do
        for _, route in pairs(entry.paths) do
            for _, peer in ipairs(route.peers) do
                present[peer.key] = true
            end
        end
    end
    return present
end

-- Every peer that had traffic since the start; one that left the table stays FORGET_S more.
function M.report()
    M.flush()
    local settled = held.settled()  -- before the counters, which are at least as new
    local apps, present, now_s = {}, keys_in_table(), ngx.time()
    for _, key in ipairs(known:get_keys(0)) do
        local report = report_of(key)
        if present[key] or report.in_flight > 0 then
            known:set(key, now_s)
        elseif now_s - (known:get(key) or now_s) > FORGET_S then
            forget(key)
        end
        local app, id = key:match("^([^|]+)|(.+)$")
        apps[app] = apps[app] or {}
        apps[app][id] = report
    end
    return { boot_id = held.boot_id(), latency_bounds_ms = BOUNDS, apps = apps,
             waiting = waiting.report(), settled = settled }
end

return M
