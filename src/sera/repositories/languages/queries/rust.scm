(function_item name: (identifier) @name) @function
(function_signature_item name: (identifier) @name) @function

(impl_item type: (_) @name) @class
(trait_item name: (type_identifier) @name) @class
(mod_item name: (identifier) @name body: (_)) @module
