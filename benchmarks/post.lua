-- wrk posts the lines of the file that is named after `--` in turn, each a body, and says what came of it in
-- one line of JSON.

local posts, next_post = {}, 0

function init(arguments)
  local headers = {["Content-Type"] = "application/json"}
  for line in io.lines(arguments[1]) do
    posts[#posts + 1] = wrk.format("POST", nil, headers, line)
  end
end

function request()
  next_post = next_post % #posts + 1
  return posts[next_post]
end

function done(summary, latency, requests)
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "latency": {"p50": %.1f, "p90": %.1f, "p99": %.1f}, ' ..
    '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(90), latency:percentile(99),
    summary.errors.connect, summary.errors.read, summary.errors.write,
    summary.errors.status, summary.errors.timeout))
end
