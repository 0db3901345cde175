# The steps of the kernel's documentation of vfio_ap, by echo.
matrix=/sys/devices/vfio_ap/matrix; create=$matrix/mdev_supported_types/vfio_ap-passthrough/create
for mdev in $matrix/*-*-*-*-*; do echo 1 >$mdev/remove; done
echo 0x$(printf 'f%.0s' $(seq 64)) >/sys/bus/ap/aqmask
echo -5,-6 >/sys/bus/ap/apmask
echo -4,-0x47,-0xab,-0xff >/sys/bus/ap/aqmask
cat /sys/bus/ap/apmask /sys/bus/ap/aqmask
ls /sys/bus/ap/drivers/vfio_ap /sys/bus/ap/drivers/cex4queue
one=6c4a5d2e-0d3e-4c7a-9b0a-000000000001 two=6c4a5d2e-0d3e-4c7a-9b0a-000000000002
echo $one >$create
echo $two >$create
echo $two >$create
echo nonsense >$create
for id in 5 6; do echo $id >$matrix/$one/assign_adapter; done
for id in 4 0xab; do echo $id >$matrix/$one/assign_domain; done
echo 4 >$matrix/$one/assign_control_domain
echo 0xab >$matrix/$one/assign_control_domain
cat $matrix/$one/matrix $matrix/$one/guest_matrix
cat $matrix/$one/control_domains
cat $matrix/$one/ap_config
echo 5 >$matrix/$two/assign_adapter
echo 0x47 >$matrix/$two/assign_domain
echo 0xff >$matrix/$two/assign_domain

# What is refused.
echo 4 >$matrix/$two/assign_domain
echo 256 >$matrix/$two/assign_domain
echo 0x100 >$matrix/$two/assign_adapter
echo -1 >$matrix/$two/assign_adapter
echo +5 >/sys/bus/ap/apmask
echo +256 >/sys/bus/ap/apmask
cat /sys/bus/ap/apmask
echo 0 >$matrix/features
cat $matrix/$one/assign_adapter
echo >$matrix/$two/no_such_file 1
mkdir $matrix/$two/directory
rm $matrix/$two/matrix
mv $matrix/$two/matrix /tmp
rmdir $matrix/$two

# Programs that look at files in their own ways.
cat $matrix/$two/matrix
dd if=$matrix/$two/matrix bs=3 count=2 2>/dev/null; echo
tail -c 5 $matrix/$two/matrix
sort -r $matrix/$two/matrix
cp $matrix/$two/matrix /tmp/copy; cat /tmp/copy
wc -c $matrix/$two/matrix
stat -c '%A %u %s %F %h' $matrix/$two/matrix $matrix/$two/remove $matrix/$two /sys/bus/ap/apmask
stat -c '%N %F' /sys/bus/ap/devices/05.0004 $matrix/$two/driver
readlink -f /sys/bus/mdev/devices/$two/mdev_type /sys/class/mdev_bus/matrix
echo 0x47 | tee $matrix/$two/unassign_domain
cat $matrix/$two/matrix
printf 0x47 >>$matrix/$two/assign_domain
head -n 1 $matrix/$two/matrix
test -w $matrix/$two/matrix && test -r $matrix/$two/remove && test -x $matrix/$two
ls $matrix/$two
stat -c '%A %N' /sys/devices/ap/card05/05.0004/*
ls -d /sys/bus/{ap,matrix,mdev}/drivers/*

# The end.
echo 1 >$matrix/$one/remove
echo 1 >$matrix/$two/remove
ls $matrix
echo +5,+6 >/sys/bus/ap/apmask
ls /sys/bus/ap/drivers/vfio_ap /sys/bus/ap/drivers/cex4queue
