# chzcrypt: cards configured off and on, which takes a machine that can. Their queues follow at the next scan.
for card in /sys/devices/ap/card*; do echo 0 >$card/request_count; done
chzcrypt -c 120
chzcrypt -V --config-off 5
lszcrypt -V 5
echo 1 >/sys/bus/ap/scans
lszcrypt -V 5
chzcrypt -V --config-off 5
chzcrypt -V -e 5
cat /sys/devices/ap/card05/online /sys/devices/ap/card05/config /sys/devices/ap/card05/05.0047/config
cat /sys/devices/vfio_ap/matrix/11111111-1111-1111-1111-111111111111/guest_matrix
chzcrypt -V --config-on 5
lszcrypt -V 5
echo 1 >/sys/bus/ap/scans
lszcrypt -V 5
