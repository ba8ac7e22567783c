// The Key Vault that holds the addresses and secrets of sinks. Their values are written by a person, never from here.

@description('Region of the vault.')
param location string

@description('Tags of the vault.')
param tags object

@description('Name of the vault; unique in Azure.')
@minLength(3)
@maxLength(24)
param vaultName string

@description('Whether a deleted vault is out of reach of purging. Once on, it cannot be turned off.')
param purgeProtection bool

@description('Days for which a deleted secret or vault can be had back. Cannot be changed later.')
@minValue(7)
@maxValue(90)
param softDeleteDays int

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' = {
  // checkov:skip=CKV_AZURE_109:the platform reads references over the public endpoint for an app without a network
  // checkov:skip=CKV_AZURE_189:as above; whoever closes the vault first gives the app a network and a private endpoint
  // checkov:skip=CKV_AZURE_110:on by default, by the parameter purgeProtection
  // checkov:skip=CKV_AZURE_42:soft delete is on, purge protection by default
  name: vaultName
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: softDeleteDays
    // The service takes true or nothing: false is refused once it is on
    // (learn.microsoft.com/azure/templates/microsoft.keyvault/vaults).
    enablePurgeProtection: purgeProtection ? true : null
    // The values belong to the running app alone.
    enabledForDeployment: false
    enabledForDiskEncryption: false
    enabledForTemplateDeployment: false
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      defaultAction: 'Allow'
      bypass: 'AzureServices'
    }
  }
}

@description('Name of the vault.')
output vaultName string = vault.name

@description('Address of the vault, with a slash at its end.')
output vaultUri string = vault.properties.vaultUri
