//go:build !linux

package agent

import "k8s.io/apimachinery/pkg/api/resource"

func memoryCapacity() resource.Quantity { return resource.MustParse("1Gi") }
