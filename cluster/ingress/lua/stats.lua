-- Counters per app and peer in a shared dictionary: nothing is lost between two reads.
local held = require "orchestry_ingress.held"

local M = {}

local BUCKETS = 16            -- upper bounds 1, 2, 4 .. 32768 ms, and one beyond
local FORGET_S = 600          -- a peer without traffic in flight that was in no report since

local counters = ngx.shared.orchestry_stats
local known = ngx.shared.orchestry_peers

local function bucket_of(seconds)
    local ms, bound = seconds * 1000, 1
    for i = 1, BUCKETS do
        if ms <= bound then
            return i
        end
        bound = bound * 2
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
-- whose length says nothing about the replica's speed.
function M.record(peer, status, bytes, latency_s)
    if latency_s then
        counters:incr(bucket_key(peer, bucket_of(latency_s)), 1, 0)
    else
        counters:incr(peer.upgrades_key, 1, 0)
    end
    counters:incr(peer.bytes_key, bytes, 0)
    if status >= 500 then
        counters:incr(peer.errors_key, 1, 0)
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
        bytes_sent = counters:get("b|" .. key) or 0,
        in_flight = in_flight_of(key),
        latency_counts = latency,
    }
end

local function forget(key)
    known:delete(key)
    for _, prefix in ipairs({ "u|", "e|", "b|" }) do
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
    local bounds = {}
    for i = 1, BUCKETS do
        bounds[i] = 2 ^ (i - 1)
    end
    return { boot_id = held.boot_id(), latency_bounds_ms = bounds, apps = apps }
end

return M
