# Makes a table of gungraun's output: one line a function and case, `function <tab> case <tab> instructions`.
# What else it has to say (an error) goes to the other stream. `make bench` uses it.

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
  printf "%s\t%s\t%s\n", function_name, name, counts[1]
}

/^Error|error/ { print > "/dev/stderr" }
