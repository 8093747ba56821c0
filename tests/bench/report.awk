# Input: the goals, then lines "scenario peer round JSON". Prints one table row per peer: medians of the
# rounds; the ratio is the median of the rounds' ratios, ours divided by theirs.
function field(text, name) {
	return match(text, "\"" name "\":[0-9.]+") ? substr(text, RSTART + length(name) + 3, RLENGTH - length(name) - 3) + 0 : 0
}
function median(list,   v, n, i, j, t) {
	n = split(list, v, " ")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j] + 0 < v[j - 1] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
	lo = v[1]; hi = v[n]
	return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
FNR == NR { if ($1 != "#") { goal[$1] = $2; rel[$1] = $3; of[$1] = $4 } next }
{
	s = $1; p = $2; r = $3
	name = "cpu_us"; unit = "us"
	if (s ~ /^C/) { name = "cpu_s_per_gb"; unit = "s/GB" }
	if (s ~ /^E/) { name = "kib_per_conn"; unit = "KiB" }
	if (!(p in val)) order[++n] = p
	x = field($0, name)
	val[p] = val[p] " " x
	p50[p] = p50[p] " " field($0, "p50_us"); p99[p] = p99[p] " " field($0, "p99_us")
	rate[p] = rate[p] " " (s ~ /^C/ ? field($0, "bytes") / 1e6 : s == "D" ? field($0, "conns") : field($0, "reqs")) / field($0, "wall_s")
	round[p, r] = x
	rounds = r > rounds ? r : rounds
}
END {
	if (first)
		printf "%-4s %-10s %10s %17s %7s %9s %9s %9s  %s\n", "", "proxy", "cpu", "lowest-highest", "ratio", "p50 us", "p99 us", "per s", "goals"
	for (i = 1; i <= n; i++) {
		p = order[i]; ratios = ""
		for (r = 1; r <= rounds; r++)
			if (round[p, r] > 0 && round["us", r] > 0) ratios = ratios " " round["us", r] / round[p, r]
		q[p] = ratios == "" ? 0 : median(ratios)
	}
	for (i = 1; i <= n; i++) {
		p = order[i]; say = ""
		m = median(val[p])
		span = lo == hi ? "" : sprintf("%.5g-%.5g", lo, hi)
		if (p == "us" && goal[s] != "") {
			say = sprintf("<= %s %s", goal[s], m <= goal[s] ? "met" : "MISSED")
			if (rel[s] != "-" && q[of[s]] > 0)
				say = say sprintf("; <= %s x %s %s (%.3f)", rel[s], of[s], q[of[s]] <= rel[s] ? "met" : "MISSED", q[of[s]])
		}
		printf "%-4s %-10s %10s %17s %7s %9.0f %9.0f %9.0f  %s\n", s, p, (m > 0 ? sprintf("%.4g %s", m, unit) : "-"), span,
			(q[p] > 0 ? sprintf("%.3f", q[p]) : "-"), median(p50[p]), median(p99[p]), median(rate[p]), say
	}
}
