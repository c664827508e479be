"""The rules of `shared.log`, in Lua, for Redis to apply as a whole. Nothing is decided here alone.

One key holds the log, so that nothing of it can be lost or evicted without the rest, and a
cluster has it in one place. It is deleted once it cannot matter any more.
"""

from __future__ import annotations

CLOCK = """
local time = redis.call('TIME')
local clock = time[1] + time[2] / 1000000
"""

RULES = """
local ALIVE, GRACE, DELAY, OPEN = 3, 1.5, 1, -1
local request = cjson.decode(ARGV[1])
local raw = redis.call('GET', KEYS[1])
local whole, log = pcall(cmsgpack.unpack, raw or '')
if not (raw and whole and type(log) == 'table') then
    log = {epoch = '', seen = 0, skew = 0, held = 0, version = 0, share = '', share_calls = 0,
           places = {}, members = {}}
end

if log.epoch == '' then
    log.skew = math.max(1, request.now) - clock
    if request.epoch ~= '' then log.held = clock + log.skew + GRACE * request.pulse end
end
local ahead = clock + log.skew - math.max(log.seen, request.now)
if request.epoch == log.epoch and ahead > DELAY then log.skew = log.skew - ahead end
log.skew = math.max(log.skew, log.seen - clock)
local now = clock + log.skew
log.seen = now
if log.epoch == '' then log.epoch = request.name end

if request.share ~= '' and request.version == log.version then
    log.version = log.version + 1
    log.share, log.share_calls = request.share, request.share_calls
end

local mine = log.members[request.client]
if not mine or mine['until'] <= now then mine = {since = 0, ['until'] = 0} end
mine.calls, mine.seconds, mine.alive = request.calls, request.seconds, now + ALIVE * request.pulse
log.members[request.client] = mine
local calls, seconds, members = mine.calls, mine.seconds, {}
for name, one in pairs(log.members) do
    if one.alive > now then
        members[name] = one
        calls, seconds = math.min(calls, one.calls), math.max(seconds, one.seconds)
    end
end
if request.leaves then members[request.client] = nil end
if log.share_calls > 0 then calls = math.min(calls, log.share_calls) end

local own, places = request.client .. ':', {}
if request.full then
    for name, one in pairs(log.places) do
        if string.sub(name, 1, #own) ~= own then places[name] = one end
    end
else
    places = log.places
end
for _, one in ipairs(request.mine) do
    local open = one[3] < 0
    places[one[1]] = {now - one[2], open and now + request.lease or now - one[3], open}
end
for _, name in ipairs(request.gone) do places[name] = nil end
log.places = {}
local count, oldest, first = 0, now, nil
for name, one in pairs(places) do
    if one[2] + seconds > now then
        log.places[name] = one
        count = count + 1
    end
end

log.held = math.min(now + seconds, math.max(log.held, now + request.held))
local known = request.full or request.epoch == log.epoch
local granted, wait = false, 0
if request.wants and known then
    if mine.since == 0 then mine.since = now end
    mine['until'] = now + ALIVE * request.pulse
    local ahead = 0
    for name, one in pairs(members) do
        if one['until'] > now and one.since > 0 and (one.since < mine.since
                or (one.since == mine.since and name < request.client)) then
            ahead = ahead + 1
        end
    end
    local lacking = ahead + 1 - (calls - count)
    if now >= log.held and lacking <= 0 then
        granted = true
        mine.since = 0
        log.places[request.name] = {now, now + request.lease, true}
        count = count + 1
    else
        local soonest = log.held
        if lacking > count then
            soonest = math.max(soonest, now + request.pulse)
        elseif lacking > 0 then
            local leaving = {}
            for _, one in pairs(log.places) do
                leaving[#leaving + 1] = (one[3] and one[1] or one[2]) + seconds
            end
            table.sort(leaving)
            soonest = math.max(soonest, leaving[lacking])
        end
        wait = soonest > now and soonest - now or request.pulse / 4
    end
end
log.members = members

for _, one in pairs(log.places) do
    oldest = math.min(oldest, one[1])
    if not one[3] then first = math.min(first or now, one[2]) end
end
local keep = 20 * seconds + request.lease
redis.call('SET', KEYS[1], cmsgpack.pack(log), 'PX', math.ceil(1000 * keep))
return cjson.encode({
    epoch = log.epoch, now = now, known = known, granted = granted, wait = wait, count = count,
    calls = calls, seconds = seconds, oldest = now - oldest,
    first = first and now - first or OPEN, version = log.version,
    share = log.version ~= request.version and log.share or ''
})
"""
