-- At nginx's start: an identity that tells a restart, and with it the loss of the table.
local M = {}

function M.master()
    local random = assert(io.open("/dev/urandom", "rb"))
    local bytes = random:read(16)
    random:close()
    local id = bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    -- `add`: a reload keeps the dictionaries, hence the table and the identity.
    ngx.shared.orchestry_table:add("boot_id", id)
    -- Loaded here, before the workers lose the right to read the files.
    require "orchestry_ingress.admin"
    require "orchestry_ingress.ingress"
end

function M.worker()
    local stats = require "orchestry_ingress.stats"
    stats.reset_in_flight()
    require("orchestry_ingress.waiting").reset()
    stats.start()
end

return M
