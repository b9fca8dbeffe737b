/* Run only by browsers that know no modules: says so, in words that any browser can show. */
document.documentElement.onload = null;
window.onload = function () {
  var place = document.getElementById("too-old");
  place.removeAttribute("hidden");
  place.appendChild(document.createTextNode(
    "This browser is too old for the page. Open the same address in a Firefox, Chrome, Edge or " +
    "Safari of 2023 or later."));
};
