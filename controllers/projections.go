package controllers

import (
	corev1 "k8s.io/api/core/v1"

	keyturnv1alpha1 "github.com/keyturn/keyturn/api/v1alpha1"
)

// The keys of the Secrets that users refer to, and the names of the files that they become.
const (
	keyHtpasswd         = "htpasswd"
	keyRoles            = "roles"
	keyToken            = "token"
	keyAuthority        = "ca.crt"
	keyCertificate      = corev1.TLSCertKey
	keyPrivate          = corev1.TLSPrivateKeyKey
	keyUsername         = "username"
	keyPassword         = "password"
	keySentinelPassword = "sentinel-password"
	keySecret           = "secret"
)

// sourceSecret is the Secret of an identity source and the keys that it may have; none for a source without one.
func sourceSecret(source *keyturnv1alpha1.IdentitySource) (*keyturnv1alpha1.SecretReference, []string) {
	switch {
	case source.HTPasswd != nil:
		return &source.HTPasswd.SecretRef, []string{keyHtpasswd, keyRoles}
	case source.Webhook != nil:
		return source.Webhook.SecretRef, []string{keyToken, keyAuthority, keyCertificate, keyPrivate}
	case source.OIDC != nil:
		return source.OIDC.SecretRef, []string{keyAuthority}
	}
	return nil, nil
}

// storeSecret is the Secret of a shared store and the keys that it may have.
func storeSecret(tsvc *keyturnv1alpha1.TokenService) (*keyturnv1alpha1.SecretReference, []string) {
	switch store := &tsvc.Spec.Store; {
	case store.Redis != nil:
		return store.Redis.SecretRef, []string{keyUsername, keyPassword, keySentinelPassword, keyAuthority, keyCertificate, keyPrivate}
	case store.Postgres != nil:
		return &store.Postgres.SecretRef, []string{keyUsername, keyPassword, keyAuthority, keyCertificate, keyPrivate}
	}
	return nil, nil
}

// mountIdentity mounts what every source needs, one directory each. They are optional: without its Secret a source
// fails with 503, while the public keys, refresh of others and logout go on.
func mountIdentity(pod *corev1.PodSpec, sources []keyturnv1alpha1.IdentitySource) {
	projected := &corev1.ProjectedVolumeSource{DefaultMode: new(int32(0o440))}
	for i := range sources {
		if secret, keys := sourceSecret(&sources[i]); secret != nil {
			projected.Sources = append(projected.Sources, projection(secret.Name, sources[i].Name, keys, true))
		}
	}
	if len(projected.Sources) > 0 {
		mount(pod, "identity", dirIdentity, corev1.VolumeSource{Projected: projected})
	}
}

// mountClients mounts the secret of every client, one directory each. They are optional: without its secret a client is
// refused, and nobody else.
func mountClients(pod *corev1.PodSpec, clients []keyturnv1alpha1.ClientSpec) {
	projected := &corev1.ProjectedVolumeSource{DefaultMode: new(int32(0o440))}
	for _, client := range clients {
		projected.Sources = append(projected.Sources, projection(client.SecretRef.Name, client.ID, []string{keySecret}, true))
	}
	if len(projected.Sources) > 0 {
		mount(pod, "clients", dirClients, corev1.VolumeSource{Projected: projected})
	}
}

// mountStore mounts the credentials of a shared store, each key of them if it is there. The Secret may come later than
// the pod: until then the store cannot be reached, and the token service says why.
func mountStore(pod *corev1.PodSpec, tsvc *keyturnv1alpha1.TokenService) {
	secret, keys := storeSecret(tsvc)
	if secret == nil {
		return
	}
	mount(pod, "store", dirStore, corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: new(int32(0o440)), Sources: []corev1.VolumeProjection{projection(secret.Name, "", keys, true)},
	}})
}

// mountTLS mounts the certificate of the public port. It is not optional: a pod waits for it rather than serve without.
func mountTLS(pod *corev1.PodSpec, tls *keyturnv1alpha1.PublicTLS) {
	if tls == nil {
		return
	}
	mount(pod, "tls", dirTLS, corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: new(int32(0o440)), Sources: []corev1.VolumeProjection{projection(tls.SecretRef.Name, "", []string{keyCertificate, keyPrivate}, false)},
	}})
}

// projection puts keys of a Secret into a directory. No other key of it reaches the pod.
func projection(secret, directory string, keys []string, optional bool) corev1.VolumeProjection {
	out := &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}
	if optional {
		out.Optional = new(true)
	}
	for _, key := range keys {
		path := key
		if directory != "" {
			path = directory + "/" + key
		}
		out.Items = append(out.Items, corev1.KeyToPath{Key: key, Path: path})
	}
	return corev1.VolumeProjection{Secret: out}
}

func mountSecret(pod *corev1.PodSpec, volume, secret, path string) {
	mount(pod, volume, path, corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret, DefaultMode: new(int32(0o440))}})
}

func mount(pod *corev1.PodSpec, volume, path string, source corev1.VolumeSource) {
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: volume, VolumeSource: source})
	pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: path, ReadOnly: true})
}
