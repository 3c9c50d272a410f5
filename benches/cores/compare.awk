# Compares instruction counts with those that are kept: awk -v rustc="$(rustc -V)" -f compare.awk KEPT NEW
#
# Both are lines of `function <tab> case <tab> instructions`; KEPT begins with a line `# rustc ...`, the compiler
# that they were counted with. Ends with 1 if a case costs over LIMIT percent more than kept, or was not counted at
# all. With another compiler that is only told: its counts are its own.

BEGIN {
  FS = "\t"
  LIMIT = 5
}

FNR == NR {
  if (/^# /) kept_with = substr($0, 3)
  if (NF == 3) {
    order[++kept_cases] = $1 FS $2
    kept[$1 FS $2] = $3
  }
  next
}

NF == 3 {
  case = $1 FS $2
  name = sprintf("%s %s", $1, $2)
  now[case] = $3
  counted++
  if (!(case in kept)) {
    change = "new"
    news[++new_cases] = name
  } else {
    percent = 100 * ($3 - kept[case]) / kept[case]
    change = $3 == kept[case] ? "=" : sprintf("%+.1f %%", percent)
    line = sprintf("%s: kept %d, now %d (%+.1f %%)", name, kept[case], $3, percent)
    if (percent > LIMIT) worse[++regressed] = line
    if (percent < -LIMIT) better[++improved] = line
  }
  printf "%-10s %-28s %12d  %s\n", $1, $2, $3, change
}

END {
  for (i = 1; i <= kept_cases; i++) if (!(order[i] in now)) {
    name = order[i]
    sub(FS, " ", name)
    gone[++missing] = name
  }
  other = rustc != "" && rustc != kept_with
  print ""
  if (other) {
    print "*** The kept counts are of `" kept_with "`, these of `" rustc "`."
    print "*** Another compiler makes other code: what follows is told and fails nothing. Refresh with `make bench BLESS=1`."
  }
  for (i = 1; i <= regressed; i++) print "REGRESSED  " worse[i]
  for (i = 1; i <= missing; i++) print "NOT COUNTED  " gone[i]
  for (i = 1; i <= improved; i++) print "improved  " better[i]
  for (i = 1; i <= new_cases; i++) print "new  " news[i]
  if (improved + new_cases > 0) print "Keep the new counts with `make bench BLESS=1`."
  if (regressed + missing > 0) {
    if (!other) {
      printf "make bench: %d of %d cases cost over %d %% more than kept, %d were not counted.\n", regressed, counted, LIMIT, missing
      print "Mend them, or say in the commit why they may cost that, and keep them with `make bench BLESS=1`."
      exit 1
    }
  } else if (improved + new_cases == 0) {
    printf "All %d cases are within %d %% of what is kept.\n", counted, LIMIT
  }
}
