# shellcheck shell=bash disable=SC2154,SC2034
# Sourced by tests/bench/proxy: certificates, and start and stop of the origin and of each proxy.
# pid[NAME]: processes whose CPU and memory count; extra[NAME]: those that only work when minting.

ca() { # name
	openssl ecparam -name prime256v1 -genkey -noout -out "$dir/$1.key" 2>/dev/null
	openssl req -x509 -new -key "$dir/$1.key" -subj "/CN=$1" -days 30 -out "$dir/$1.crt" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>/dev/null
	cat "$dir/$1.crt" "$dir/$1.key" >"$dir/$1.pem"
}

cert() { # name subject-alt-name ca
	openssl ecparam -name prime256v1 -genkey -noout -out "$dir/$1.key" 2>/dev/null
	openssl req -new -key "$dir/$1.key" -subj "/CN=$1" -out "$dir/$1.csr" 2>/dev/null
	openssl x509 -req -in "$dir/$1.csr" -CA "$dir/$3.crt" -CAkey "$dir/$3.key" -CAcreateserial -days 30 \
		-extfile <(echo "subjectAltName=$2") -out "$dir/$1.crt" 2>/dev/null
	cat "$dir/$1.crt" "$dir/$1.key" >"$dir/$1.pem"
}

config() { # template -> $dir/NAME
	sed -e "s|@dir@|$dir|g; s|@host@|$host|g; s|@files@|$files|g; s|@conns@|$conns|g; s|@certgen@|${certgen:-}|g" \
		-e "s|@origin@|$origin|g; s|@nginx@|$nginx|g; s|@haproxy@|$haproxy|g; s|@haproxy_made@|$haproxy_made|g" \
		-e "s|@haproxy_l4@|$haproxy_l4|g; s|@squid@|$squid|g; s|@squid_tunnel@|$squid_tunnel|g; s|@tinyproxy@|$tinyproxy|g" \
		"tests/bench/peers/$1" >"$dir/$1"
}

tree() { # the process and all below it
	local p
	for p; do echo "$p"; tree $(pgrep -P "$p"); done
}

up() { # port: somebody listens within ten seconds
	local i
	for ((i = 0; i < 100; i++)); do
		(: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
		sleep 0.1
	done
	return 1
}

start_common() {
	ca upstream
	ca mitm
	cert origin "DNS:$host,DNS:*.$host,IP:127.0.0.1" upstream
	cert leaf "DNS:$host,DNS:*.$host" mitm
	mkdir "$dir/www" "$dir/run"
	head -c 1024 /dev/urandom >"$dir/www/1k"
	truncate -s 100M "$dir/www/100m"
	config origin.conf
	command -v nginx >/dev/null || { echo "bench: the origin is nginx (make bench-deps)" >&2; exit 1; }
	taskset -c 0 nginx -c "$dir/origin.conf" >/dev/null 2>"$dir/origin.err" 6>&- 7>&- &
	pid[origin]=$!
	up "$origin" || { echo "bench: no origin" >&2; exit 1; }
	cat >"$dir/policy.yaml" <<-END
		version: 1
		network_policies:
		  bench:
		    endpoints:
		      - { host: $host, port: 443, protocol: rest, enforcement: enforce, rules: [ { allow: { method: GET, path: "/1*" } } ] }
		      - { host: "*.$host", port: 443, protocol: rest, enforcement: enforce, rules: [ { allow: { method: GET, path: "/1*" } } ] }
		      - { host: $host, port: 7443 }
		    binaries:
		      - { path: /usr/bin/curl }
	END
}

missing() { # peer -> why it cannot run
	case $1 in
	nginx | haproxy | tinyproxy) command -v "$1" >/dev/null || echo "not installed" ;;
	squid)
		for certgen in /usr/lib/squid/security_file_certgen /usr/lib64/squid/security_file_certgen; do
			[ -x "$certgen" ] && return
		done
		echo "squid-openssl is not installed" ;;
	base) [ -x "${BASE:-}/tests/bench/px_serve" ] || echo "BASE is no build folder with px_serve" ;;
	mitmproxy) command -v mitmdump >/dev/null || echo "not installed" ;;
	esac
}

# Ours, or (base) another build of it: ends at the end of its input.
start_ours() { # name build descriptor
	local limits="\"limits\":{\"connections\":30000,\"connections_total\":30000,\"sites\":20000}" signer
	[ "$1" = us ] && limits="$limits,\"spin_us\":${SPIN:-0}"
	rm -f "$dir/$1.in" "$dir/$1.out"
	mkfifo "$dir/$1.in" "$dir/$1.out"
	"$2/tests/bench/px_serve" "$dir/policy.yaml" "$dir/upstream.crt" \
		"{\"hosts\":{\"$host\":\"127.0.0.1:$origin\",\"*.$host\":\"127.0.0.1:$origin\"},$limits}" 1 "$told" \
		<"$dir/$1.in" >"$dir/$1.out" 2>"$dir/$1.err" 6>&- 7>&- &
	serve[$1]=$!
	eval "exec $3>\"\$dir/\$1.in\""
	read -r "port[$1]" "cafile[$1]" "pid[$1]" signer <"$dir/$1.out" || return 1
	extra[$1]=$signer
}

start_us() {
	start_ours us "$O" 7
}

start_base() {
	start_ours base "$BASE" 6
}

start_squid() {
	missing squid >/dev/null # finds certgen
	config squid.conf
	rm -rf "$dir/squid"
	mkdir "$dir/squid"
	echo "127.0.0.1 $host" >"$dir/squid/hosts"
	"$certgen" -c -s "$dir/squid/certs" -M 64MB >/dev/null 2>&1
	[ "$(id -u)" = 0 ] && chown -R proxy "$dir/squid"
	taskset -c 1 squid -N -n "bench$$" -f "$dir/squid.conf" >/dev/null 2>"$dir/squid.err" 6>&- 7>&- &
	pid[squid]=$!
	up "$squid" && sleep 1 && pid[squid]=$(tree "${pid[squid]}")
}

start_mitmproxy() {
	mkdir -p "$dir/mitm"
	cp "$dir/mitm.pem" "$dir/mitm/mitmproxy-ca.pem"
	taskset -c 1 mitmdump -q --listen-host 127.0.0.1 -p "$mitmproxy" -s tests/bench/peers/mitm.py --set confdir="$dir/mitm" \
		--set http2=false --set stream_large_bodies=1m --set ssl_verify_upstream_trusted_ca="$dir/upstream.crt" >/dev/null 2>"$dir/mitmproxy.err" 6>&- 7>&- &
	pid[mitmproxy]=$!
	up "$mitmproxy"
}

start_peer() {
	case $1 in
	us | base | squid | mitmproxy) "start_$1"; return ;;
	direct) return 0 ;;
	esac
	case $1 in
	nginx) config nginx.conf; taskset -c 1 nginx -c "$dir/nginx.conf" >/dev/null 2>"$dir/$1.err" 6>&- 7>&- & ;;
	haproxy) config haproxy.cfg; taskset -c 1 haproxy -db -f "$dir/haproxy.cfg" >/dev/null 2>"$dir/$1.err" 6>&- 7>&- & ;;
	tinyproxy) config tinyproxy.conf; taskset -c 1 tinyproxy -d -c "$dir/tinyproxy.conf" >/dev/null 2>"$dir/$1.err" 6>&- 7>&- & ;;
	esac
	pid[$1]=$!
	up "${!1}"
}

stop_peer() {
	local p
	case $1 in
	us) exec 7>&- ;;
	base) exec 6>&- ;;
	esac
	if [ "${serve[$1]:-}" ]; then
		wait "${serve[$1]}" 2>/dev/null
		unset "serve[$1]"
	else
		for p in ${pid[$1]:-}; do kill -9 "$p" 2>/dev/null; done
		for p in ${pid[$1]:-}; do wait "$p" 2>/dev/null; done
	fi
	unset "pid[$1]"
}

stop_all() {
	for p in "${!pid[@]}"; do stop_peer "$p"; done
	rm -rf "$dir"
}
