# lszcrypt: what it says of buses, cards and queues.
# The host's own requests so far, those of hwrng for instance, are not of interest.
for card in /sys/devices/ap/card*; do echo 0 >$card/request_count; done
lszcrypt
lszcrypt -V
lszcrypt -VVV 05.0047 06.0004
lszcrypt -b
lszcrypt -d
lszcrypt -s
lszcrypt -c 5
lszcrypt -c 6
lszcrypt -c 05.0047
lszcrypt -c 06.0047
lszcrypt -c 05.0004
lszcrypt --accelonly
lszcrypt --ccaonly --queueonly -V | cut -c 1-45
lszcrypt --ep11only --cardonly -V | cut -c 1-45
lszcrypt 5 | cut -c 1-36
lszcrypt .0047 | cut -c 1-36
lszcrypt 05.00fe
lszcrypt 7

# A queue between drivers, and one with vfio_ap but in no mdev.
echo 05.0004 >/sys/bus/ap/drivers/vfio_ap/unbind
echo 2 >/sys/devices/ap/card05/05.0004/online
lszcrypt -V 05.0004
lszcrypt -V 05.00ab
