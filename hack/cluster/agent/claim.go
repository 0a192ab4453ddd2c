package agent

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	storageClass  = "local"
	provisioner   = "local.keyturn.dev/directory"
	provisionedBy = "pv.kubernetes.io/provisioned-by"
)

// startClaims makes the default StorageClass and provisions claims that ask for it: a PersistentVolume,
// bound beforehand to the claim, of a directory under Options.Dir. The controller manager completes the
// binding. A released volume is removed with its directory.
func (a *Agent) startClaims(ctx context.Context) error {
	reclaim, mode := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingImmediate
	_, err := a.client.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name: storageClass, Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner: provisioner, ReclaimPolicy: &reclaim, VolumeBindingMode: &mode,
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	provision := func(o any) {
		if claim, ok := o.(*corev1.PersistentVolumeClaim); ok && ctx.Err() == nil && wantsVolume(claim) {
			a.wg.Go(func() { a.provision(ctx, claim) })
		}
	}
	_, err = a.factory.Core().V1().PersistentVolumeClaims().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: provision, UpdateFunc: func(_, o any) { provision(o) },
	})
	if err != nil {
		return err
	}
	reclaimed := func(o any) {
		if pv, ok := o.(*corev1.PersistentVolume); ok && ctx.Err() == nil && a.reclaimable(pv) {
			a.wg.Go(func() { a.reclaim(ctx, pv) })
		}
	}
	_, err = a.factory.Core().V1().PersistentVolumes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: reclaimed, UpdateFunc: func(_, o any) { reclaimed(o) },
	})
	return err
}

func wantsVolume(c *corev1.PersistentVolumeClaim) bool {
	return c.Spec.VolumeName == "" && c.DeletionTimestamp == nil && c.Spec.StorageClassName != nil && *c.Spec.StorageClassName == storageClass &&
		c.Status.Phase != corev1.ClaimBound && c.Spec.Selector == nil
}

func (a *Agent) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim) {
	name := "pvc-" + string(claim.UID)
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: provisioner}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			StorageClassName:              storageClass,
			VolumeMode:                    claim.Spec.VolumeMode,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: a.claimPath(name)}},
		},
	}
	for {
		_, err := a.client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{})
		if err == nil {
			a.events.Eventf(claim, corev1.EventTypeNormal, "ProvisioningSucceeded", "Successfully provisioned volume %s", name)
			return
		}
		if apierrors.IsAlreadyExists(err) || apierrors.IsInvalid(err) || !pause(ctx, retryPause) {
			return
		}
	}
}

func (a *Agent) claimPath(volume string) string { return filepath.Join(a.opts.Dir, "claims", volume) }

func (a *Agent) reclaimable(pv *corev1.PersistentVolume) bool {
	return pv.Status.Phase == corev1.VolumeReleased && pv.DeletionTimestamp == nil && pv.Annotations[provisionedBy] == provisioner &&
		pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete
}

func (a *Agent) reclaim(ctx context.Context, pv *corev1.PersistentVolume) {
	// Only a directory of our own is ever removed, whatever the object says.
	if dir := a.claimPath(pv.Name); pv.Spec.HostPath != nil && pv.Spec.HostPath.Path == dir && strings.HasPrefix(pv.Name, "pvc-") {
		if err := os.RemoveAll(dir); err != nil {
			a.log.Warn("the directory of a claim was not removed", "directory", dir, "error", err)
		}
	}
	for {
		err := a.client.CoreV1().PersistentVolumes().Delete(ctx, pv.Name, metav1.DeleteOptions{})
		if err == nil || apierrors.IsNotFound(err) || !pause(ctx, retryPause) {
			return
		}
	}
}
