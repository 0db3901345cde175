# lszdev and chzdev: the masks of the bus, now and in a udev rule.
lszdev --type ap
chzdev --type ap apmask=-5 --active
cat /sys/bus/ap/apmask
lszdev --type ap --active --pairs
lszcrypt -V --queueonly 5 | cut -c 1-36,81-

# Linux 7.2 refuses this, as an mdev has queues of the card; chzdev does not tell.
chzdev --type ap apmask=+5 --active
cat /sys/bus/ap/apmask
echo +5 >/sys/bus/ap/apmask

# Here chzdev finds out before the kernel.
chzdev --type ap aqmask=+4 --active
cat /sys/bus/ap/aqmask
chzdev --type ap aqmask=-0x47,-0xff --active --verbose
cat /sys/bus/ap/aqmask
chzdev --type ap aqmask=+0x47,+255 --active --dry-run
chzdev --type ap aqmask=+0x47,+255 --active
cat /sys/bus/ap/aqmask
chzdev --type ap apmask=0-4,7-255 --persistent
cat /etc/udev/rules.d/41-ap.rules
lszdev --type ap
chzdev --type ap apmask=-6 aqmask=-0x47
lszdev --type ap
chzdev --type ap --export - | tail -n +2
chzdev --type ap --remove-all --persistent --force
lszdev --type ap --persistent
chzdev --type ap apmask=+256 --active
chzdev --type ap apmask=5- --active
chzdev --type ap apmask=-7 --base /tmp/base
lszdev --type ap --base /tmp/base
ls /run/lock
