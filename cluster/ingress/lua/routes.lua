-- Routes: parse and check a pushed table, index it, look a request up. No nginx state here.
local cjson = require "cjson.safe"

local M = {}

local MAX_ROUTES = 50000
local MAX_HOSTS = 100         -- of one route
local MAX_PEERS = 2000        -- of one route
local MAX_SHARES = 16         -- of one route
local MAX_TEXT_BYTES = 1024   -- of one path; names are shorter
local MAX_NUMBER = 2 ^ 53
local MAX_WAKE_S = 60
local MAX_CERTIFICATES = 1000
local MAX_PEM_BYTES = 65536
local MAX_CHALLENGES = 1000

cjson.decode_max_depth(16)
cjson.decode_invalid_numbers(false)

local function text(value, pattern, max_bytes)
    return type(value) == "string" and #value >= 1 and #value <= max_bytes
        and value:find(pattern) ~= nil
end

local function whole(value, low, high)
    return type(value) == "number" and value >= low and value <= high
        and value % 1 == 0
end

local function list(value, max)
    return type(value) == "table" and #value <= max
        and (next(value) == nil or value[1] ~= nil)
end

local function ipv4(value)
    if type(value) ~= "string" or #value > 15 then
        return false
    end
    local a, b, c, d = value:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
    return a ~= nil and tonumber(a) <= 255 and tonumber(b) <= 255
        and tonumber(c) <= 255 and tonumber(d) <= 255
end

local function peer_fault(peer)
    if type(peer) ~= "table" then
        return " is not an object"
    elseif not text(peer.id, "^[%w._-]+$", 128) then
        return ".id is not 1-128 characters of [A-Za-z0-9._-]"
    elseif not ipv4(peer.address) then
        return ".address is not an IPv4 address"
    elseif not whole(peer.port, 1, 65535) then
        return ".port is not in 1-65535"
    elseif not whole(peer.weight, 1, 1000) then
        return ".weight is not in 1-1000"
    end
end

-- Older controllers send none.
local function shares_fault(shares)
    if shares == nil then
        return nil
    elseif not list(shares, MAX_SHARES) then
        return ".shares is not a list of at most " .. MAX_SHARES
    end
    for i, share in ipairs(shares) do
        local at = ".shares[" .. i - 1 .. "]"
        if type(share) ~= "table" or not whole(share.weight, 0, 100) then
            return at .. ".weight is not in 0-100"
        elseif not list(share.peers, MAX_PEERS) then
            return at .. ".peers is not a list of at most " .. MAX_PEERS
        end
        for _, id in ipairs(share.peers) do
            if type(id) ~= "string" then
                return at .. ".peers has other than ids"
            end
        end
    end
end

local function route_fault(route)
    if type(route) ~= "table" then
        return " is not an object"
    elseif not text(route.app, "^[%w._-]+$", 128) then
        return ".app is not 1-128 characters of [A-Za-z0-9._-]"
    elseif not text(route.path, "^/[\33-\126]*$", MAX_TEXT_BYTES) then
        return ".path does not start with / or has other than printable ASCII"
    elseif not list(route.hosts, MAX_HOSTS) then
        return ".hosts is not a list of at most " .. MAX_HOSTS
    elseif not list(route.peers, MAX_PEERS) then
        return ".peers is not a list of at most " .. MAX_PEERS
    elseif route.wakes ~= nil and type(route.wakes) ~= "boolean" then
        return ".wakes is not true or false"
    elseif route.wakes and not (type(route.wake_timeout_s) == "number"
            and route.wake_timeout_s >= 0 and route.wake_timeout_s <= MAX_WAKE_S) then
        return ".wake_timeout_s is not in 0-" .. MAX_WAKE_S
    end
    for i, host in ipairs(route.hosts) do
        if not text(host, "^[\33-\126]+$", 253) then
            return ".hosts[" .. i - 1 .. "] is not a host name"
        end
    end
    for i, peer in ipairs(route.peers) do
        local fault = peer_fault(peer)
        if fault then
            return ".peers[" .. i - 1 .. "]" .. fault
        end
    end
    return shares_fault(route.shares)
end

-- Older controllers send none.
local function https_fault(https)
    if https == nil then
        return nil
    elseif type(https) ~= "table" or not list(https.certificates, MAX_CERTIFICATES)
        or not list(https.challenges, MAX_CHALLENGES) then
        return " has no lists of certificates and challenges"
    elseif not whole(https.redirect_port, 0, 65535) or not whole(https.hsts_s, 0, MAX_NUMBER) then
        return ".redirect_port or .hsts_s is no whole number"
    end
    if https.acme ~= nil and type(https.acme) ~= "boolean" then
        return ".acme is not true or false"
    end
    for i, one in ipairs(https.certificates) do
        if type(one) ~= "table" or not list(one.hosts, MAX_HOSTS)
            or not text(one.chain, "^%-%-%-%-%-BEGIN ", MAX_PEM_BYTES)
            or not text(one.key, "^%-%-%-%-%-BEGIN ", MAX_PEM_BYTES) then
            return ".certificates[" .. i - 1 .. "] is no certificate with hosts and key in PEM"
        end
    end
    for i, one in ipairs(https.challenges) do
        if type(one) ~= "table" or not text(one.token, "^[%w_-]+$", 256)
            or not text(one.answer, "^[%w._-]+$", 512) then
            return ".challenges[" .. i - 1 .. "] is no token and answer"
        end
    end
end

-- Returns the checked table, or nil and what is wrong with it.
function M.parse(body)
    local value, reason = cjson.decode(body)
    if type(value) ~= "table" then
        return nil, "not a JSON object: " .. tostring(reason)
    elseif not text(value.cluster_id, "^[%w._-]+$", 128) then
        return nil, "cluster_id is not 1-128 characters of [A-Za-z0-9._-]"
    elseif not whole(value.epoch, 0, MAX_NUMBER) then
        return nil, "epoch is not a whole number"
    elseif not whole(value.version, 0, MAX_NUMBER) then
        return nil, "version is not a whole number"
    elseif not list(value.routes, MAX_ROUTES) then
        return nil, "routes is not a list of at most " .. MAX_ROUTES
    end
    local wrong = https_fault(value.https)
    if wrong then
        return nil, "https" .. wrong
    end
    for i, route in ipairs(value.routes) do
        local fault = route_fault(route)
        if fault then
            return nil, "routes[" .. i - 1 .. "]" .. fault
        end
    end
    return value
end

local function without_trailing(value, byte)
    local last = #value
    while last > 0 and value:byte(last) == byte do
        last = last - 1
    end
    return value:sub(1, last)
end

-- hosts[host] = { paths = { ["/api"] = route, [""] = route }, longest = 4 }.
-- Two routes of one host and path: the first one in the list holds.
function M.index(routes)
    local hosts = {}
    for _, route in ipairs(routes) do
        local path = without_trailing(route.path, 47)
        for _, name in ipairs(route.hosts) do
            local host = without_trailing(name:lower(), 46)
            local entry = hosts[host]
            if not entry then
                entry = { paths = {}, longest = 0 }
                hosts[host] = entry
            end
            if not entry.paths[path] then
                entry.paths[path] = route
                entry.longest = math.max(entry.longest, #path)
            end
        end
    end
    return hosts
end

local function parent(path)
    local last = #path
    while last > 0 and path:byte(last) ~= 47 do
        last = last - 1
    end
    return path:sub(1, math.max(last - 1, 0))
end

-- The route with the longest path that ends where a segment of `uri` ends.
function M.find(hosts, host, uri)
    local entry = hosts[host]
    if not entry then
        return nil
    end
    local paths = entry.paths
    if entry.longest == 0 then
        return paths[""]
    end
    local path = uri
    if #uri > entry.longest then
        -- Nothing longer can match: cut once, so that a long URI costs no more.
        path = uri:sub(1, entry.longest)
        if uri:byte(entry.longest + 1) ~= 47 then
            path = parent(path)
        end
    end
    while path ~= "" do
        local route = paths[path]
        if route then
            return route
        end
        path = parent(path)
    end
    return paths[""]
end

return M
