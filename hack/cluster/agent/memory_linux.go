package agent

import (
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/resource"
)

func memoryCapacity() resource.Quantity {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return resource.MustParse("1Gi")
	}
	return *resource.NewQuantity(int64(info.Totalram)*int64(info.Unit), resource.BinarySI)
}
