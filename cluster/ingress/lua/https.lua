-- Certificates by host, redirects to HTTPS, and answers to challenges; from the pushed table.
local ssl = require "ngx.ssl"

local M = {}

local CHALLENGE = "/.well-known/acme-challenge/"

local WAIT_S = 3              -- an answer is on its way for a second or two
local PAUSE_S = 0.1
local MAX_WAITING = 100       -- of one worker

local by_host, parsed = {}, {}
local challenges, acme = {}, false
local waiting = 0
local redirect_port, hsts = 0, nil

local function parse(one)
    local chain, reason = ssl.parse_pem_cert(one.chain)
    local key
    if chain then
        key, reason = ssl.parse_pem_priv_key(one.key)
    end
    if not key then
        ngx.log(ngx.ERR, "certificate of ", tostring(one.hosts[1]), ": ", reason)
        return nil
    end
    return { chain = chain, key = key }
end

function M.install(new)
    new = new or { certificates = {}, challenges = {}, redirect_port = 0, hsts_s = 0 }
    local hosts, kept = {}, {}
    for _, one in ipairs(new.certificates) do
        local text = one.chain .. one.key
        local certificate = parsed[text] or parse(one)
        if certificate then
            kept[text] = certificate
            for _, host in ipairs(one.hosts) do
                hosts[host] = certificate
            end
        end
    end
    by_host, parsed = hosts, kept
    challenges, acme = {}, new.acme or #new.challenges > 0
    for _, one in ipairs(new.challenges) do
        challenges[one.token] = one.answer
    end
    redirect_port = new.redirect_port
    hsts = new.hsts_s > 0 and "max-age=" .. new.hsts_s or nil
end

local function find(host)
    local found = by_host[host]
    if not found then
        local parent = host:match("^[^.]+(%..+)$")
        found = parent and by_host["*" .. parent]
    end
    return found
end

-- During the handshake: a host without a certificate gets none, not that of another one.
function M.certificate()
    require("orchestry_ingress.held").hosts()
    local name = ssl.server_name()
    local found = name and find(name:lower())
    if not found then
        return ngx.exit(ngx.ERROR)
    end
    ssl.clear_certs()
    local ok, reason = ssl.set_cert(found.chain)
    if ok then
        ok, reason = ssl.set_priv_key(found.key)
    end
    if not ok then
        ngx.log(ngx.ERR, "certificate of ", name, ": ", reason)
        return ngx.exit(ngx.ERROR)
    end
end

local function is_challenge(uri)
    return acme and uri:sub(1, #CHALLENGE) == CHALLENGE
end

local function to_https(var, host)
    return redirect_port > 0 and var.scheme == "http" and find(host)
end

-- Whether `answer` has something to say to this request.
function M.concerns(var, host, uri)
    return (acme and is_challenge(uri)) or (redirect_port > 0 and to_https(var, host))
end

-- The answer to a token, waited for: who asks was often sent here a moment ago.
local function awaited(token)
    local found, deadline_s = challenges[token], ngx.now() + WAIT_S
    if found or waiting >= MAX_WAITING then
        return found
    end
    waiting = waiting + 1
    repeat
        ngx.sleep(PAUSE_S)
        require("orchestry_ingress.held").hosts()
        found = challenges[token]
    until found or ngx.now() >= deadline_s
    waiting = waiting - 1
    return found
end

-- Answers a challenge, or sends the client to HTTPS; returns when neither is called for.
function M.answer(var, host, uri)
    if is_challenge(uri) then
        local found = awaited(uri:sub(#CHALLENGE + 1))
        if found then
            ngx.req.discard_body()
            ngx.header["Content-Type"] = "text/plain"
            ngx.header["Content-Length"] = #found
            ngx.print(found)
            return ngx.exit(ngx.HTTP_OK)
        end
    end
    if to_https(var, host) then
        ngx.req.discard_body()
        local port = redirect_port == 443 and "" or ":" .. redirect_port
        return ngx.redirect("https://" .. host .. port .. var.request_uri, 308)
    end
end

-- Tells browsers to come back over HTTPS only.
function M.mark(var)
    if hsts and var.scheme == "https" then
        var.hsts = hsts
    end
end

return M
