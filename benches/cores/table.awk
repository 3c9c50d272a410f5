# Makes a table of gungraun's output: one line a function and case, with its instructions and the change since the
# last run on this machine. `make bench` uses it.

/^cores::/ {
  function_name = $1
  sub(/.*::/, "", function_name)
  split($2, part, ":")
  name = part[1]
  # Of `exact_1:(exact(1_000))` the count says more than the number of the case.
  if (match($0, /\([0-9_]+\)/) && name ~ /_[0-9]$/) {
    count = substr($0, RSTART + 1, RLENGTH - 2)
    gsub(/_/, ",", count)
    sub(/_[0-9]$/, "", name)
    name = name " " count
  }
}

/Instructions:/ {
  split($2, counts, "|")
  change = $0
  sub(/.*\(/, "", change)
  sub(/\).*/, "", change)
  if (change ~ /\*/) change = "first run"
  printf "%-10s %-28s %12s   %s\n", function_name, name, counts[1], change
}

/regressed|^Error|error/ { print }
