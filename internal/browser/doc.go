// Package browser reads what browsers add to requests on their own: cookies, and where the page that asks was loaded
// from. Both faces of the data plane need it, and must not differ.
//
// It is pure: values in, values out, the standard library only, and no allocation for a request that is in order.
package browser
