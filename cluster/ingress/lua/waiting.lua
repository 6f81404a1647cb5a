-- Requests that are held for an app at zero, until it has a replica.
local answer = require "orchestry_ingress.answer"
local held = require "orchestry_ingress.held"
local routes = require "orchestry_ingress.routes"

local M = {}

local MAX_OF_APP = 100
local MAX_IN_ALL = 1000
local PAUSE_S = 0.025

local shared = ngx.shared.orchestry_waiting
local here = {}               -- by app: how many this worker holds
local all_here = 0

local function key_of(worker, app)
    return worker .. "|" .. app
end

local function sum(app)
    local found = 0
    for worker = 0, ngx.worker.count() - 1 do
        found = found + (shared:get(key_of(worker, app)) or 0)
    end
    return found
end

-- The app "" stands for all.
local function count(app, step)
    local worker = ngx.worker.id()
    here[app] = (here[app] or 0) + step
    all_here = all_here + step
    if here[app] > 0 then
        shared:set(key_of(worker, app), here[app])
    else
        here[app] = nil
        shared:delete(key_of(worker, app))
    end
    shared:set(key_of(worker, ""), all_here)
end

-- A worker that died took its requests along.
function M.reset()
    local mine = ngx.worker.id() .. "|"
    for _, key in ipairs(shared:get_keys(0)) do
        if key:sub(1, #mine) == mine then
            shared:delete(key)
        end
    end
end

local function peered(host, uri, deadline_s)
    while true do
        local hosts = held.hosts()
        local route = hosts and routes.find(hosts, host, uri)
        if not route then
            return nil, 404
        elseif #route.peers > 0 then
            return route
        elseif not route.wakes or ngx.now() >= deadline_s then
            return nil, 503
        end
        ngx.sleep(PAUSE_S)
    end
end

-- The route once it has a peer; otherwise the request is answered, and `refused` told.
function M.wait(route, host, uri, refused)
    local app = route.app
    if sum(app) >= MAX_OF_APP or sum("") >= MAX_IN_ALL then
        refused(app)
        return answer.refuse(503)
    end
    count(app, 1)
    local ok, found, status = pcall(peered, host, uri, ngx.now() + route.wake_timeout_s)
    count(app, -1)
    if not ok then
        error(found)
    elseif not found then
        refused(app)
        return answer.refuse(status)
    end
    return found
end

-- By app, over all workers.
function M.report()
    local found = {}
    for _, key in ipairs(shared:get_keys(0)) do
        local app = key:match("^%d+|(.+)$")
        if app then
            found[app] = (found[app] or 0) + (shared:get(key) or 0)
        end
    end
    return found
end

return M
