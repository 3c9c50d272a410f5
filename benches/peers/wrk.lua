-- What wrk asks for: the hundred paths in turn, built once, so that each request costs a look-up.
local requests, turn = {}, 0

function init(args)
  wrk.headers["Host"] = "$HOST"
  wrk.headers["User-Agent"] = "wrk"
  wrk.headers["X-Group"] = "a"
  if "$CONNECTION" ~= "" then wrk.headers["Connection"] = "$CONNECTION" end
  local body = $BODY > 0 and string.rep("x", $BODY) or nil
  -- A long body is copied each time a request is handed out. So without hands: one request for all.
  if body then
    wrk.method, wrk.path, wrk.body = "$METHOD", string.format("$PATH", 1), body
    request = nil
    return
  end
  for i = 0, $ROUTES - 1 do
    requests[i] = wrk.format("$METHOD", string.format("$PATH", i))
  end
end

function request()
  turn = (turn + 1) % $ROUTES
  return requests[turn]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format("SEEN %d %d %f %f %f %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    e.connect + e.read + e.write + e.status + e.timeout))
end
