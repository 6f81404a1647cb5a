-- Answers that the ingress gives itself, in the error body of the REST API.
local cjson = require "cjson.safe"

local M = {}

local KINDS = {
    [400] = { "VALIDATION_ERROR", "Bad request", "The request is not valid HTTP." },
    [404] = { "NOT_FOUND", "No such application",
              "No application answers at this host and path; see `orchestry list`." },
    [405] = { "METHOD_NOT_ALLOWED", "Method not allowed", "Use another method." },
    [408] = { "TIMEOUT", "Request timed out", "Send the request faster." },
    [413] = { "PAYLOAD_TOO_LARGE", "Request body too large", "Send a smaller body." },
    [414] = { "VALIDATION_ERROR", "Request line too long", "Send at most 8 KiB." },
    [431] = { "VALIDATION_ERROR", "Request headers too large", "Send at most 8 KiB a line." },
    [500] = { "INTERNAL_ERROR", "Internal error", "See the ingress's error log." },
    [502] = { "REPLICA_FAILED", "The application's replica did not answer",
              "Try again; see `orchestry status NAME`." },
    [503] = { "NO_HEALTHY_REPLICA", "No healthy replica of the application",
              "Try again in a second; see `orchestry status NAME`." },
    [504] = { "REPLICA_TIMEOUT", "The application's replica took too long",
              "See `orchestry logs NAME`; the request may have been processed." },
}

function M.json(status, value)
    local body = cjson.encode(value) .. "\n"
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #body
    ngx.print(body)
    return ngx.exit(ngx.HTTP_OK)
end

function M.error(status, code, title, details)
    if status == 503 then
        ngx.header["Retry-After"] = "1"
    end
    return M.json(status, {
        error = title,
        details = details,
        code = code,
        timestamp = os.date("!%Y-%m-%dT%H:%M:%SZ", ngx.time()),
    })
end

-- A refusal before any replica was asked; the rest of the body is thrown away.
function M.refuse(status)
    local kind = KINDS[status] or KINDS[500]
    ngx.req.discard_body()
    return M.error(status, kind[1], kind[2], kind[3])
end

-- The error page: nginx has set the status already.
function M.page()
    local status = ngx.status
    local kind = KINDS[status] or (status < 500 and KINDS[400]) or KINDS[500]
    return M.error(status, kind[1], kind[2], kind[3])
end

return M
