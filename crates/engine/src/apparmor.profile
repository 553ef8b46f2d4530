# What a container may do where AppArmor is the machine's security module.
#
# It is the outermost of several layers: a private user namespace, masked
# paths, capabilities, seccomp and Landlock hold inside of it. Here stands what
# must stay shut if one of them is opened or fails.

profile cofferdam-default flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,
  unix,

  # Who runs the engine may signal what is in a container; from inside,
  # signals and ptrace reach others under this profile alone.
  signal (receive) peer=unconfined,
  signal (send, receive) peer=cofferdam-default,
  ptrace (trace, read, tracedby, readby) peer=cofferdam-default,
  ptrace (readby, tracedby) peer=unconfined,

  deny mount,
  deny remount,
  deny pivot_root,

  # Of /proc, what belongs to a process, and the settings of the container's
  # own namespaces.
  deny /proc/* w,
  deny /proc/[^1-9s]*/** w,
  deny /proc/s[^y]*/** w,
  deny /proc/sy[^s]*/** w,
  deny /proc/sys[^/]*/** w,
  deny /proc/sys/[^kn]** w,
  # Left open: domainname, hostname, msg*, sem*, shm*.
  deny /proc/sys/kernel/[^dhms]** w,
  deny /proc/sys/kernel/d[^o]** w,
  deny /proc/sys/kernel/h[^o]** w,
  deny /proc/sys/kernel/ho[^s]** w,
  deny /proc/sys/kernel/m[^s]** w,
  deny /proc/sys/kernel/s[^eh]** w,
  deny /proc/sys/kernel/se[^m]** w,
  deny /proc/sys/kernel/sh[^m]** w,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/kcore rwklx,
  deny /proc/kallsyms rwklx,
  deny /proc/kmem rwklx,
  deny /proc/mem rwklx,

  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
