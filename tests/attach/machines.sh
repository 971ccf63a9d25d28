# Machines in QEMU for the attach tests, i (the initiator), s (a storage server) and d (an initiator
# with Debian on its disk), and this one as a storage server too. Sourced inside the namespaces that tests/attach/run makes.
# shellcheck shell=bash
. "${BASH_SOURCE[0]%/*}/../lab/paths.sh"

HERE=$TOP/tests/attach
RUN=${ATTACH_RUN:?}
TESTER=10.79.0.1 TESTER6=fd79::1	# where this machine serves
declare -A NUMBER=([i]=2 [s]=3 [d]=4)
KERNEL=$DOM0_KERNEL/boot/vmlinuz-$(kernel_version "$DOM0_KERNEL")
export TGT_IPC_SOCKET=/run/tgtd

network() {
	local net

	ip link set lo up
	for net in 8 9; do	# the tests' way to the machines, and the storage network
		ip link add "br$net" type bridge forward_delay 0 stp_state 0
		ip addr add "10.7$net.0.1/24" dev "br$net"
		ip link set "br$net" up
	done
	ip -6 addr add $TESTER6/64 dev br9 nodad
	for machine in "${!NUMBER[@]}"; do
		for net in 8 9; do
			ip tuntap add "$machine$net" mode tap
			ip link set "$machine$net" master "br$net" up
		done
	done
}

# overlay: the root file system with the vstor under test.
overlay() {
	mkdir -p "$RUN/tree/bin"
	strip -o "$RUN/tree/bin/vstor" "$VSTOR"
	[ ! -x "$TOP/build/judge" ] || cp "$TOP/build/judge" "$RUN/tree/bin/"
	(cd "$RUN/tree" && find . | "$BB" cpio -o -H newc -R 0:0 2>/dev/null) |
		cat "$TOP/build/attach/root.cpio" - >"$RUN/root.cpio"
}

# machine_start i|s|d [KERNEL-WORD...]: s and d have a disk, /dev/vda; that of d is as new when it is
# started, but not when it reboots.
machine_start() {
	local m=$1 n=${NUMBER[$1]} more=(-no-reboot) log=$RUN/$1.log memory=256 drive

	shift
	drive=file=$RUN/$m.img,format=raw,if=none,id=d0,cache=writeback
	case $m in
	s) more+=(-drive "$drive" -device virtio-blk-pci,drive=d0) ;;
	d) more=(-drive "$drive,snapshot=on" -device virtio-blk-pci,drive=d0) memory=512 ;;
	esac
	: >"$log"
	qemu-system-x86_64 -name "attach-$m" -machine pc -accel tcg,thread=multi,tb-size=128 \
		-cpu qemu64 -smp 1 -m "$memory" -display none -vga none -nodefaults \
		-serial "file:$log" -kernel "$KERNEL" -initrd "$RUN/root.cpio" \
		-append "console=ttyS0 quiet no_timer_check host=$m n=$n $*" "${more[@]}" \
		-netdev "tap,id=n8,ifname=${m}8,script=no,downscript=no" \
		-device "virtio-net-pci,netdev=n8,romfile=,mac=52:54:00:00:08:0$n" \
		-netdev "tap,id=n9,ifname=${m}9,script=no,downscript=no" \
		-device "virtio-net-pci,netdev=n9,romfile=,mac=52:54:00:00:09:0$n" \
		>"$RUN/$m.qemu" 2>&1 </dev/null &
	echo $! >"$RUN/$m.pid"
	disown	# bash need not tell of its end
}

machine_wait() {
	timeout 120 grep -m 1 -q "MACHINE $1 READY" \
		< <(exec tail -n +1 -s 0.1 --pid="$(<"$RUN/$1.pid")" -F "$RUN/$1.log" 2>/dev/null) ||
		die "machine $1 does not come up: see $RUN/$1.log and $1.qemu"
	until on "$1" true 2>/dev/null; do
		sleep 0.1
	done
}

machine_lives() {
	kill -0 "$(<"$RUN/$1.pid")"
}

# Pulls the plug.
machine_stop() {
	local pid

	pid=$(<"$RUN/$1.pid")
	kill -KILL "$pid"
	tail -s 0.1 --pid="$pid" -f /dev/null
}

# on i|s COMMAND...: runs a shell command there; its output and exit status are ours. 255: not
# reached. See tests/lab/agent.
on() {
	local link line machine=$1

	shift
	exec {link}<>"/dev/tcp/10.78.0.${NUMBER[$machine]}/7000" || return 255
	printf %s "{ $*
} </dev/null" | base64 -w 0 >&"$link"
	echo >&"$link"
	while IFS= read -r -t "${ON_WAIT:-120}" line <&"$link"; do
		case $line in
		*$'\001'*)
			printf %s "${line%$'\001'*}"
			exec {link}>&-
			return "${line##*$'\001'}"
			;;
		*) printf '%s\n' "$line" ;;
		esac
	done
	exec {link}>&-
	return 255
}

# --- targets on this machine: target_start vstor|tgtd [vstor's options, or LUN for tgtd]

target_start() {
	local kind=$1

	shift
	echo "$kind" >"$RUN/target.kind"
	"target_$kind" "$@"
}

target_vstor() {
	local ready

	[ $# -gt 0 ] || set -- --lun "$RUN/disk.img"
	exec {ready}< <(exec "$VSTOR" target --name "$IQN" --state-dir none --listen "$TESTER" \
		--listen "[$TESTER6]" --ready-fd 3 "$@" 3>&1 >>"$RUN/target.log" 2>&1)
	echo $! >"$RUN/target.pid"
	read -r -t 20 -u "$ready" || die "vstor target does not come up: see $RUN/target.log"
	exec {ready}<&-
}

target_tgtd() {
	local admin=(tgtadm -C 7 --lld iscsi)

	tgtd -f -C 7 --iscsi "portal=$TESTER:3260,portal=[$TESTER6]:3260" >>"$RUN/target.log" 2>&1 &
	echo $! >"$RUN/target.pid"
	disown
	until tgtadm -C 7 --op show --mode sys >/dev/null 2>&1; do
		sleep 0.1
	done
	"${admin[@]}" --op new --mode target --tid 1 -T "$IQN"
	"${admin[@]}" --op new --mode logicalunit --tid 1 --lun 1 -b "$RUN/disk.img"
	if [ "${1:-}" = chap ]; then
		"${admin[@]}" --mode account --op new --user us --password "$SECRET"
		"${admin[@]}" --mode account --op bind --tid 1 --user us
		"${admin[@]}" --mode account --op new --user them --password "$OTHER_SECRET"
		"${admin[@]}" --mode account --op bind --tid 1 --user them --outgoing
	fi
	"${admin[@]}" --op bind --mode target --tid 1 -I ALL
}

# Kills it (or what NAME stands for) without warning.
target_kill() { # [NAME]
	local pid

	pid=$(<"$RUN/${1:-target}.pid")
	kill -KILL "$pid"
	tail -s 0.1 --pid="$pid" -f /dev/null
}
