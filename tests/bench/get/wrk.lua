-- GETs of the paths in the file KILN_BENCH_PATHS, in turn; ends with one JSON line.
local paths, at = {}, 0

function init()
  for path in io.lines(os.getenv("KILN_BENCH_PATHS")) do
    paths[#paths + 1] = wrk.format("GET", path, { Host = wrk.host, Authorization = "Bearer " .. os.getenv("KILN_TOKEN") })
  end
  at = math.random(#paths)
end

function request()
  at = at % #paths + 1
  return paths[at]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"rate":%d,"p50_ms":%.3f,"p99_ms":%.3f,"failed":%d}\n', summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, e.connect + e.read + e.write + e.status + e.timeout))
end
