package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mount brings every volume up to date: it makes the directories the first time and rewrites what
// changed later. A volume that fails keeps what it shows; the errors are joined.
func (p *podRun) mount(ctx context.Context) error {
	p.mounting.Lock()
	defer p.mounting.Unlock()
	return p.mountAll(ctx)
}

// mountAll: p.mounting is held.
func (p *podRun) mountAll(ctx context.Context) error {
	var errs []error
	for i := range p.pod().Spec.Volumes {
		v := &p.pod().Spec.Volumes[i]
		if err := p.mountOne(ctx, v); err != nil {
			errs = append(errs, fmt.Errorf("MountVolume.SetUp failed for volume %q: %w", v.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (p *podRun) mountOne(ctx context.Context, v *corev1.Volume) error {
	dir := filepath.Join(p.dir, "volumes", v.Name)
	switch {
	case v.EmptyDir != nil:
		p.setVolume(v.Name, dir)
		return makeOpenDir(dir)
	case v.HostPath != nil:
		p.setVolume(v.Name, v.HostPath.Path)
		if t := v.HostPath.Type; t != nil && *t == corev1.HostPathDirectoryOrCreate {
			return os.MkdirAll(v.HostPath.Path, 0o755)
		}
		return nil
	case v.PersistentVolumeClaim != nil:
		host, err := p.claimDir(ctx, v.PersistentVolumeClaim.ClaimName)
		if err == nil {
			p.setVolume(v.Name, host)
		}
		return err
	}
	sources, mode, err := projections(v)
	if err != nil {
		return err
	}
	files := map[string]volumeFile{}
	for i := range sources {
		if err := p.project(ctx, &sources[i], mode, files); err != nil {
			return err
		}
	}
	changed, err := writeVolume(dir, files)
	if changed {
		p.agent.log.Info("volume written", "pod", p.name(), "volume", v.Name)
	}
	p.setVolume(v.Name, dir)
	return err
}

func makeOpenDir(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return os.Chmod(dir, 0o777)
}

// projections reads every kind of generated volume as a projected one.
func projections(v *corev1.Volume) ([]corev1.VolumeProjection, *int32, error) {
	switch {
	case v.Projected != nil:
		return v.Projected.Sources, v.Projected.DefaultMode, nil
	case v.Secret != nil:
		return []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: v.Secret.SecretName}, Items: v.Secret.Items, Optional: v.Secret.Optional,
		}}}, v.Secret.DefaultMode, nil
	case v.ConfigMap != nil:
		return []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{
			LocalObjectReference: v.ConfigMap.LocalObjectReference, Items: v.ConfigMap.Items, Optional: v.ConfigMap.Optional,
		}}}, v.ConfigMap.DefaultMode, nil
	case v.DownwardAPI != nil:
		return []corev1.VolumeProjection{{DownwardAPI: &corev1.DownwardAPIProjection{Items: v.DownwardAPI.Items}}}, v.DownwardAPI.DefaultMode, nil
	}
	return nil, nil, errors.New("this kind of volume is not known to the local node agent")
}

func (p *podRun) project(ctx context.Context, s *corev1.VolumeProjection, mode *int32, files map[string]volumeFile) error {
	switch {
	case s.Secret != nil:
		data := map[string][]byte{}
		secret, err := p.secret(ctx, s.Secret.Name)
		switch {
		case err == nil:
			data = secret.Data
		case !apierrors.IsNotFound(err) || !isTrue(s.Secret.Optional):
			return err
		}
		return pick(files, data, s.Secret.Items, isTrue(s.Secret.Optional), mode, "secret "+s.Secret.Name)
	case s.ConfigMap != nil:
		data := map[string][]byte{}
		cm, err := p.configMap(ctx, s.ConfigMap.Name)
		switch {
		case err == nil:
			for k, v := range cm.Data {
				data[k] = []byte(v)
			}
			for k, v := range cm.BinaryData {
				data[k] = v
			}
		case !apierrors.IsNotFound(err) || !isTrue(s.ConfigMap.Optional):
			return err
		}
		return pick(files, data, s.ConfigMap.Items, isTrue(s.ConfigMap.Optional), mode, "configmap "+s.ConfigMap.Name)
	case s.DownwardAPI != nil:
		return p.projectFields(s.DownwardAPI.Items, mode, files)
	case s.ServiceAccountToken != nil:
		seconds := int64(3600)
		if s.ServiceAccountToken.ExpirationSeconds != nil {
			seconds = *s.ServiceAccountToken.ExpirationSeconds
		}
		token, err := p.token(ctx, s.ServiceAccountToken.Audience, seconds)
		if err != nil {
			return err
		}
		files[s.ServiceAccountToken.Path] = volumeFile{[]byte(token), fileMode(nil, mode)}
		return nil
	}
	return errors.New("this source of a projected volume is not known to the local node agent")
}

func (p *podRun) projectFields(items []corev1.DownwardAPIVolumeFile, mode *int32, files map[string]volumeFile) (err error) {
	for _, item := range items {
		value := ""
		if item.FieldRef != nil {
			value, err = p.field(item.FieldRef.FieldPath)
		} else if item.ResourceFieldRef != nil {
			value, err = p.resourceField(&p.pod().Spec.Containers[0], item.ResourceFieldRef)
		}
		if err != nil {
			return err
		}
		files[item.Path] = volumeFile{[]byte(value), fileMode(item.Mode, mode)}
	}
	return nil
}

// pick adds the keys that are asked for; all of them if items is empty.
func pick(files map[string]volumeFile, data map[string][]byte, items []corev1.KeyToPath, optional bool, mode *int32, what string) error {
	if len(items) == 0 {
		for k, v := range data {
			files[k] = volumeFile{v, fileMode(nil, mode)}
		}
		return nil
	}
	for _, item := range items {
		v, ok := data[item.Key]
		if !ok {
			if optional {
				continue
			}
			return fmt.Errorf("%s references non-existent key: %s", what, item.Key)
		}
		files[item.Path] = volumeFile{v, fileMode(item.Mode, mode)}
	}
	return nil
}

func fileMode(own, standard *int32) fs.FileMode {
	switch {
	case own != nil:
		return fs.FileMode(*own).Perm()
	case standard != nil:
		return fs.FileMode(*standard).Perm()
	}
	return 0o644
}

// claimDir gives the directory behind a bound claim.
func (p *podRun) claimDir(ctx context.Context, name string) (string, error) {
	claim, err := p.agent.client.CoreV1().PersistentVolumeClaims(p.pod().Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if claim.Status.Phase != corev1.ClaimBound || claim.Spec.VolumeName == "" {
		return "", fmt.Errorf("the claim %s is not bound (%s)", name, claim.Status.Phase)
	}
	pv, err := p.agent.client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	switch {
	case pv.Spec.HostPath != nil:
		return pv.Spec.HostPath.Path, makeOpenDir(pv.Spec.HostPath.Path)
	case pv.Spec.Local != nil:
		return pv.Spec.Local.Path, nil
	}
	return "", fmt.Errorf("the volume %s is neither hostPath nor local", pv.Name)
}

func (p *podRun) setVolume(name, host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.volumes[name] = host
}

// mounts lists where the container's mount paths really are.
func (p *podRun) mounts(c *corev1.Container) []mountPoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []mountPoint
	for _, m := range c.VolumeMounts {
		if host, ok := p.volumes[m.Name]; ok {
			list = append(list, mountPoint{m.MountPath, filepath.Join(host, m.SubPath)})
		}
	}
	return list
}
