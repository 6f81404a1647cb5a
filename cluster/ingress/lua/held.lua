-- The table that is held, shared by all workers; each worker parses a version once.
--
-- Two slots take turns and `serial` says which one holds, so a push is seen whole or not at
-- all, and a push that does not fit in memory leaves the old table where it is.
local cjson = require "cjson.safe"
local https = require "orchestry_ingress.https"
local peers = require "orchestry_ingress.peers"
local routes = require "orchestry_ingress.routes"

local M = {
    FLUSH_S = 0.1,            -- counters of a worker reach the shared dictionary so late
    TICK_S = 0.02,            -- a worker that has nothing to do takes a new table so late
}

local LOCK_TTL_S = 5          -- only a worker that died holds it longer
local LOCK_WAIT_S = 2
local LOCK_PAUSE_S = 0.002

local shared = ngx.shared.orchestry_table
local serial_here, flushed_here, hosts_here

local function install(serial, new)
    peers.bind(new.routes)
    hosts_here = routes.index(new.routes)
    https.install(new.https)
    serial_here = serial
end

-- The index of the current table, or nil when none was pushed since the start.
function M.hosts()
    local serial = shared:get("serial")
    if serial and serial ~= serial_here then
        local held = routes.parse(shared:get("body" .. serial % 2) or "")
        if held then
            install(serial, held)
        end
    end
    return hosts_here
end

-- Whether this worker holds a table with which its counters were not flushed yet.
function M.is_unflushed()
    M.hosts()
    return serial_here ~= flushed_here
end

-- Every request that this worker sent on under an older table is in the shared counters now.
function M.flushed()
    if serial_here ~= flushed_here then
        flushed_here = serial_here
        shared:set("flushed" .. ngx.worker.id(), serial_here)
    end
end

-- A worker that has just begun has taken no table.
function M.reset_flushed()
    shared:delete("flushed" .. ngx.worker.id())
end

-- {epoch, version} of the newest table with which every worker has flushed its counters; zeros
-- when that is none of the last two.
function M.settled()
    local serial = shared:get("serial") or 0
    local least = serial
    for worker = 0, ngx.worker.count() - 1 do
        least = math.min(least, shared:get("flushed" .. worker) or 0)
    end
    local state = cjson.decode(shared:get("state" .. least % 2) or "")
    if not state or state.serial ~= least then
        return { epoch = 0, version = 0 }
    end
    return { epoch = state.epoch, version = state.version }
end

function M.boot_id()
    return shared:get("boot_id")
end

-- {boot_id, cluster_id, epoch, version, routes, counted_after_s}; epoch and version are 0 with
-- no table.
function M.state()
    local serial = shared:get("serial")
    local state = serial and cjson.decode(shared:get("state" .. serial % 2))
        or { cluster_id = "", epoch = 0, version = 0, routes = 0 }
    state.serial = nil
    state.boot_id = M.boot_id()
    state.counted_after_s = M.FLUSH_S
    return state
end

local function lock()
    local deadline_s = ngx.now() + LOCK_WAIT_S
    while not shared:add("lock", true, LOCK_TTL_S) do
        if ngx.now() > deadline_s then
            return false
        end
        ngx.sleep(LOCK_PAUSE_S)
        ngx.update_time()
    end
    return true
end

-- Nothing in here yields, so the lock is held for microseconds.
local function replace(new, body)
    local serial = shared:get("serial")
    if serial then
        local held = M.state()
        if held.cluster_id ~= new.cluster_id then
            return "foreign"
        elseif new.epoch < held.epoch
            or (new.epoch == held.epoch and new.version < held.version) then
            return "stale"
        elseif new.epoch == held.epoch and new.version == held.version then
            return "same"
        end
    end
    local following = (serial or 0) + 1
    local slot = following % 2
    local state = cjson.encode({ cluster_id = new.cluster_id, epoch = new.epoch,
                                 version = new.version, routes = #new.routes,
                                 serial = following })
    if not shared:safe_set("body" .. slot, body)
        or not shared:safe_set("state" .. slot, state)
        or not shared:safe_set("serial", following) then
        return "full"
    end
    install(following, new)
    return "new"
end

-- Returns new, same, stale, foreign, full or busy; or invalid and what is wrong.
function M.push(body)
    local new, fault = routes.parse(body)
    if not new then
        return "invalid", fault
    end
    if not lock() then
        return "busy"
    end
    local ok, outcome = pcall(replace, new, body)
    shared:delete("lock")
    if not ok then
        error(outcome)
    end
    return outcome
end

return M
